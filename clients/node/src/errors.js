/**
 * What can go wrong for a caller. No message or property ever holds a token.
 *
 *   TokenClientError
 *   ├── ConfigurationError     this client, or the vending stack, is set up wrongly: a person must act
 *   ├── CallerNotAllowed       IAM or the stack's AllowedCallers refused this caller
 *   ├── InvalidRequest         the vending function did not understand: client and stack do not match
 *   ├── UnexpectedAnswer       the answer is not of the contract: client and stack do not match
 *   ├── TokenUnavailable       no usable token now; in `retryAfter` seconds perhaps          (retryable)
 *   ├── VendingUnavailable     the vending function could not be reached, or failed          (retryable)
 *   └── RequestNotRepeatable   the vendor refused the token, and the body cannot be sent twice
 */
export class TokenClientError extends Error {
  /** @param {{retryAfter?: number, remoteError?: string}} [details] */
  constructor(message, { retryAfter, remoteError } = {}) {
    super(message);
    this.retryAfter = retryAfter;
    this.remoteError = remoteError;
  }

  get name() {
    return this.constructor.name;
  }

  get retryable() {
    return false;
  }
}

export class ConfigurationError extends TokenClientError {}
export class CallerNotAllowed extends TokenClientError {}
export class InvalidRequest extends TokenClientError {}
export class UnexpectedAnswer extends TokenClientError {}
export class RequestNotRepeatable extends TokenClientError {}

export class TokenUnavailable extends TokenClientError {
  get retryable() {
    return true;
  }
}

export class VendingUnavailable extends TokenClientError {
  get retryable() {
    return true;
  }
}

const UNTRUSTED = /CERT|^ERR_TLS|^UNABLE_TO_|^ERR_SSL/;
const LOST = /^(ECONN|ENOTFOUND|EAI_|ETIMEDOUT|EPIPE|EHOST|ENETUNREACH|UND_ERR_)/;
const TIMED_OUT = new Set(["TimeoutError", "AbortError"]);

/**
 * What a connection that failed is to a caller; undefined if the error says nothing of a connection.
 *
 * The original is not attached as `cause`: it may hold the request, and with it a signature or a session token.
 */
export function connectionError(error, place) {
  const source = error?.cause ?? error;
  const code = String(source?.code ?? error?.code ?? "");
  if (UNTRUSTED.test(code)) return new ConfigurationError(`${place}: its certificate is not trusted here (${code})`);
  if (TIMED_OUT.has(error?.name)) return new VendingUnavailable(`${place} did not answer in time`);
  if (LOST.test(code)) return new VendingUnavailable(`${place} could not be reached (${code})`);
  return undefined;
}
