/** An access token, the name of its version, and when it ends. It shows its plaintext to `accessToken()` alone. */
export declare class Token {
  constructor(accessToken: string, about: { version: string; expiresAt: string });
  /** The plaintext, for the Authorization header and for nothing else. */
  accessToken(): string;
  /** Which of the tokens the stack has minted. Not secret: fit for logs and for `reject`. */
  readonly version: string;
  /** RFC 3339, UTC. */
  readonly expiresAt: string;
  /** Twelve hexadecimal digits of its SHA-256. */
  readonly fingerprint: string;
  toJSON(): { version: string; expiresAt: string; fingerprint: string };
}

export interface TokenRequest {
  rejectedVersion?: string | undefined;
  minSeconds?: number | undefined;
}

/** Where tokens come from: for tests, or for a way of your own. Fails with a `TokenClientError`, in a bounded time. */
export interface TokenSource {
  fetch(request: TokenRequest): Promise<{ token: Token; expiresIn: number; cacheSeconds: number }>;
  close?(): void;
}

export interface AwsIdentity {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
}

export interface TokenClientOptions {
  /** Name or ARN of the vending function, for a direct invoke. Default: `PERSONR_TOKEN_FUNCTION`. */
  functionName?: string;
  /** Its URL, for signed HTTP. Default: `PERSONR_TOKEN_URL`. Of two environment variables the function wins. */
  url?: string;
  /** Instead of both. */
  source?: TokenSource;
  /** Life a token should have left; one with less starts a refresh, and is served meanwhile. */
  minSeconds?: number;
  /** How long a call may wait for a token, and a request for its first and its next one together. Default 20. */
  waitSeconds?: number;
  /** How long one call of the vending function may take in all. Default 12. */
  callTimeoutSeconds?: number;
  /** The identity to sign with, or what gives it. Default: the environment's, else the AWS SDK's own search. */
  credentials?: AwsIdentity | (() => Promise<AwsIdentity>);
  /** A LambdaClient of your own, for a direct invoke through a proxy or with another role. It stays yours. */
  lambda?: object;
  /** To sign for, where neither the ARN nor the URL tells. */
  region?: string;
  /** For a URL that is not of AWS's own form. */
  signingService?: "lambda" | "execute-api";
  /** What `client.fetch` sends with. Default: the global `fetch`. */
  fetch?: typeof globalThis.fetch;
  /** Takes a warning an outage, and if it can, a line a refused and a new token. Default: warnings to standard error. */
  logger?: { warn(text: string): void; info?(text: string): void; debug?(text: string): void };
}

export interface Wait {
  /** Instead of the client's own. With 0, a token in memory or an error. */
  waitSeconds?: number;
}

/** The part of an axios instance that `attachTo` uses. */
export interface AxiosLike {
  interceptors: {
    request: { use(...handlers: any[]): number; eject(id: number): void };
    response: { use(...handlers: any[]): number; eject(id: number): void };
  };
  getUri(config?: any): string;
  request(config: any): Promise<any>;
}

/** Tokens for one process: in memory, one request at a time. It does nothing until asked. */
export declare class TokenClient {
  constructor(options?: TokenClientOptions);
  /**
   * A token that is good now. A stale one, whose `cache_seconds` are over, is given after two seconds at most if
   * the vending side does not answer; an expired or refused one never.
   *
   * @throws {TokenClientError}
   */
  get(options?: Wait & { signal?: AbortSignal }): Promise<Token>;
  /** Throws what `get` throws. */
  authHeader(options?: Wait): Promise<{ Authorization: string }>;
  /** The vendor refused this version. `fetch` and axios report it by themselves. */
  reject(version: string, options?: Wait): Promise<void>;
  /** The global fetch with the token; a 401 is healed once. An Authorization header of the caller's is replaced. */
  readonly fetch: (input: string | URL | Request, init?: RequestInit & Wait) => Promise<Response>;
  /** The same for an axios instance. What is returned takes it off again. */
  attachTo(axios: AxiosLike, options?: Wait): () => void;
  /** Closes the connections to the vending function. */
  close(): void;
}

export declare class TokenClientError extends Error {
  /** Whether the same call may succeed later by itself. */
  readonly retryable: boolean;
  /** Seconds after which that is worth trying, where the vending side said so. */
  readonly retryAfter: number | undefined;
  /** The error's name on the vending side. */
  readonly remoteError: string | undefined;
}
/** This client or the stack is set up wrongly. */
export declare class ConfigurationError extends TokenClientError {}
/** IAM or AllowedCallers refused this caller. */
export declare class CallerNotAllowed extends TokenClientError {}
/** Client and stack are of different releases. */
export declare class InvalidRequest extends TokenClientError {}
/** Client and stack are of different releases. */
export declare class UnexpectedAnswer extends TokenClientError {}
/** The token was refused, and the body was a stream. */
export declare class RequestNotRepeatable extends TokenClientError {}
/** A token is being made (retryable). */
export declare class TokenUnavailable extends TokenClientError {}
/** The vending function could not be reached, or failed (retryable). */
export declare class VendingUnavailable extends TokenClientError {}

export declare const VERSION: string;
