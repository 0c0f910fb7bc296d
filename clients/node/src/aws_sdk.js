import { createRequire } from "node:module";

import { ConfigurationError } from "./errors.js";

const NAME = "@aws-sdk/client-lambda";

/** The AWS SDK's Lambda client, loaded when it is first needed: half a second that many a process never spends. */
export async function loadSdk() {
  try {
    return await import("@aws-sdk/client-lambda");
  } catch (error) {
    if (error?.code !== "ERR_MODULE_NOT_FOUND") throw error;
  }
  try {
    return createRequire(import.meta.url)(NAME); // unlike import, this searches NODE_PATH outside Lambda too
  } catch {
    throw new ConfigurationError(`${NAME} is not installed: a direct invoke and AWS profiles need it`);
  }
}

/** The region that AWS sets everywhere, or the one a person has set. */
export function configuredRegion() {
  return process.env.AWS_REGION || process.env.AWS_DEFAULT_REGION || undefined;
}
