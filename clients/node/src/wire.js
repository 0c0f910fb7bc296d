/**
 * The wire format that the two doors of the vending function share: docs/openapi.yaml and docs/schemas/.
 *
 * Nothing here quotes a value it was given, since a malformed answer may well hold a token. The exceptions are the
 * words of an error of the contract and the name of any other, as far as they are printable and short.
 */
import {
  CallerNotAllowed,
  ConfigurationError,
  InvalidRequest,
  TokenUnavailable,
  UnexpectedAnswer,
  VendingUnavailable,
} from "./errors.js";
import { Token } from "./token.js";

// The contract's error names, and what each is to a caller. Any other name is a failure of the function.
const ERRORS = new Map(
  Object.entries({
    TokenUnavailable,
    CallerNotAllowed,
    InvalidRequest,
    ConfigurationError,
    CredentialsRefused: ConfigurationError,
    StoreUnavailable: VendingUnavailable,
    VendorUnavailable: VendingUnavailable,
    VendorProtocolError: VendingUnavailable,
  }),
);
const ERROR_NAME = /^[A-Za-z_][A-Za-z0-9_.:]{0,79}$/;
const PRINTABLE = /^[\x20-\x7e]+$/;
const LONGEST_VERSION = 256;
const LONGEST_MESSAGE = 500;
// The longest the vending side ever advises is hours. More is from somebody else.
const LONGEST_ADVICE_SECONDS = 86_400;
const LARGEST_SECONDS = 1e11;

/** Reads the answer of either door. Unknown fields are ignored, so that a newer function can add some. */
export function parseAnswer(text) {
  const answer = jsonObject(text);
  if (!answer) throw new UnexpectedAnswer("the vending function's answer is not a JSON object");
  const { access_token: accessToken, token_type: type, version, expires_at: expiresAt } = answer;
  if (!isName(accessToken, Infinity)) throw incomplete("access_token that fits in a header");
  if (String(type).toLowerCase() !== "bearer") throw incomplete("token_type Bearer");
  if (!isName(version, LONGEST_VERSION)) throw incomplete("version");
  const end = typeof expiresAt === "string" && /(Z|[+-]\d\d:\d\d)$/.test(expiresAt) ? new Date(expiresAt) : undefined;
  if (!end || Number.isNaN(end.getTime())) throw incomplete("expires_at in RFC 3339");
  return {
    token: new Token(accessToken, { version, expiresAt: end.toISOString() }),
    expiresIn: seconds(answer, "expires_in"),
    cacheSeconds: seconds(answer, "cache_seconds"),
  };
}

/** The error of a direct invoke that carried FunctionError: errorMessage decides, errorType may be replaced. */
export function functionError(text) {
  const payload = jsonObject(text) ?? {};
  const detail = typeof payload.errorMessage === "string" ? jsonObject(payload.errorMessage) : undefined;
  if (typeof detail?.error === "string") return errorNamed(detail.error, detail.message, advice(detail.retry_after));
  return errorNamed(payload.errorType);
}

/** The error of an HTTP answer that is not 200. The function's own name decides; without one the status does. */
export function problem(status, text, retryAfterHeader) {
  const document = jsonObject(text) ?? {};
  const retryAfter = advice(document.retry_after) ?? advice(retryAfterHeader);
  if (typeof document.error === "string" && document.error) {
    return errorNamed(document.error, document.detail, retryAfter);
  }
  if (status === 401 || status === 403) {
    return new CallerNotAllowed(
      `AWS refused this caller's signature or permission (HTTP ${status}): the caller needs both` +
        " lambda:InvokeFunctionUrl and lambda:InvokeFunction, for example by the stack's URL caller policy (output UrlCallerPolicyArn)",
    );
  }
  if (status === 429 || status >= 500) {
    return new VendingUnavailable(`the vending function answered HTTP ${status}`, { retryAfter });
  }
  if ((status >= 300 && status < 400) || status === 404 || status === 405) {
    return new ConfigurationError(`the URL answered HTTP ${status}: it is not a vending function's`);
  }
  return new UnexpectedAnswer(`the vending function answered HTTP ${status}`);
}

function errorNamed(name, message, retryAfter) {
  const Kind = ERRORS.get(name);
  if (!Kind) {
    // An unknown error's text is not ours, and nobody can tell what is in it.
    const shown = typeof name === "string" && ERROR_NAME.test(name) ? name : "an error without a name";
    return new VendingUnavailable(`the vending function failed (${shown}); its log says why`, {
      retryAfter,
      remoteError: shown,
    });
  }
  const text = typeof message === "string" && message ? `${name}: ${printable(message)}` : name;
  return new Kind(text, { retryAfter, remoteError: name });
}

function jsonObject(text) {
  try {
    const parsed = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function isName(value, longest) {
  return typeof value === "string" && value.length <= longest && PRINTABLE.test(value);
}

function incomplete(field) {
  return new UnexpectedAnswer(`the vending function's answer has no ${field}`);
}

function seconds(answer, name) {
  const value = answer[name];
  if (typeof value !== "number" || !(value >= 0 && value < LARGEST_SECONDS)) throw incomplete(`${name} in seconds`);
  return value;
}

/** Seconds from a JSON number or a Retry-After header; a header with a date counts as none given. */
function advice(value) {
  const number = typeof value === "string" && /^\d{1,10}$/.test(value) ? Number(value) : value;
  return typeof number === "number" && number >= 0 ? Math.min(number, LONGEST_ADVICE_SECONDS) : undefined;
}

function printable(text) {
  const shown = text.slice(0, LONGEST_MESSAGE).replace(/[^\P{C}]/gu, "?");
  return text.length <= LONGEST_MESSAGE ? shown : `${shown}…`;
}
