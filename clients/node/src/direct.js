/** The door for callers with AWS credentials inside AWS: a direct invoke of the vending function. */
import { configuredRegion, loadSdk } from "./aws_sdk.js";
import { CallerNotAllowed, ConfigurationError, VendingUnavailable, connectionError } from "./errors.js";
import { functionError, parseAnswer } from "./wire.js";
import { USER_AGENT } from "./version.js";

const CONNECT_SECONDS = 3;
// A connection unused for this long is not trusted: the environment may have been frozen meanwhile.
const IDLE_SECONDS = 50;
// The stack publishes the function under this alias, and the caller policy allows no other way to it.
const ALIAS = "live";
const ARN_PARTS = 7;

const DENIED = new Set(["AccessDeniedException", "AccessDenied"]);
const BAD_CREDENTIALS = new Set([
  "CredentialsProviderError",
  "ExpiredTokenException",
  "IncompleteSignature",
  "InvalidClientTokenId",
  "InvalidSignatureException",
  "MissingAuthenticationTokenException",
  "UnrecognizedClientException",
]);

export class DirectInvoke {
  #functionName;
  #options;
  #callTimeoutSeconds;
  #given; // a LambdaClient of the caller's, which stays theirs
  #made;
  #usedAt = 0;

  constructor(functionName, { callTimeoutSeconds, lambda, credentials, region }) {
    this.#functionName = qualified(functionName);
    this.#callTimeoutSeconds = callTimeoutSeconds;
    this.#given = lambda;
    this.#options = {
      region: region ?? regionOf(functionName) ?? configuredRegion(),
      credentials,
      customUserAgent: [USER_AGENT.split("/")],
      maxAttempts: 2, // one more try at once for a connection that broke; the cache does the waiting
      requestHandler: { connectionTimeout: CONNECT_SECONDS * 1000 },
    };
  }

  async fetch({ rejectedVersion, minSeconds }) {
    const { LambdaClient, InvokeCommand } = await loadSdk();
    const command = new InvokeCommand({
      FunctionName: this.#functionName,
      Payload: JSON.stringify({ rejected_version: rejectedVersion, min_seconds: minSeconds }),
    });
    let reply;
    try {
      reply = await this.#client(LambdaClient).send(command, {
        abortSignal: AbortSignal.timeout(this.#callTimeoutSeconds * 1000),
      });
    } catch (error) {
      throw refusal(error, this.#functionName);
    } finally {
      this.#usedAt = Date.now() / 1000;
    }
    const text = new TextDecoder().decode(reply.Payload);
    if (reply.FunctionError) throw functionError(text);
    return parseAnswer(text);
  }

  close() {
    this.#made?.destroy();
    this.#made = undefined;
  }

  #client(LambdaClient) {
    if (this.#given) return this.#given;
    const idle = Date.now() / 1000 - this.#usedAt;
    if (!(idle >= 0 && idle < IDLE_SECONDS)) this.close();
    this.#made ??= new LambdaClient(this.#options);
    return this.#made;
  }
}

/** The name with the alias `live` unless it has a qualifier: `name`, `account:function:name` or an ARN. */
export function qualified(name) {
  const parts = name.split(":");
  const at = parts.indexOf("function");
  const nameless = parts[0] === "arn" ? ARN_PARTS : at >= 0 && at < parts.length - 1 ? at + 2 : 1;
  return parts.length > nameless ? name : `${name}:${ALIAS}`;
}

function regionOf(name) {
  const parts = name.split(":");
  return (parts[0] === "arn" && parts.length >= ARN_PARTS && parts[3]) || undefined;
}

function refusal(error, functionName) {
  const lost = connectionError(error, functionName);
  if (lost) return lost;
  const code = String(error?.name ?? "unknown");
  const status = error?.$metadata?.httpStatusCode;
  const details = { remoteError: code };
  if (DENIED.has(code)) {
    return new CallerNotAllowed(
      `this caller may not invoke ${functionName}: attach the stack's caller policy to its role, and in another` +
        " account have the stack list that account in CallerAccountIds",
      details,
    );
  }
  if (status === 429 || status >= 500 || /Throttl|TooManyRequests|RequestLimit/.test(code)) {
    return new VendingUnavailable(`Lambda answered ${code}`, details);
  }
  if (BAD_CREDENTIALS.has(code)) {
    return new ConfigurationError(`there are no AWS credentials that AWS accepts (${code})`, details);
  }
  if (code === "ResourceNotFoundException") return new ConfigurationError(`there is no function ${functionName}`, details);
  if (status) return new ConfigurationError(`Lambda refused the call (${code})`, details);
  return new ConfigurationError(`${functionName} cannot be called: ${error?.message}`);
}
