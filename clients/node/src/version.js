/** The release, the same as the stack's and the Python client's. */
export const VERSION = "1.1.0";
export const USER_AGENT = `token-client-node/${VERSION}`;
