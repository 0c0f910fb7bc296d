export { TokenClient } from "./client.js";
export {
  CallerNotAllowed,
  ConfigurationError,
  InvalidRequest,
  RequestNotRepeatable,
  TokenClientError,
  TokenUnavailable,
  UnexpectedAnswer,
  VendingUnavailable,
} from "./errors.js";
export { Token } from "./token.js";
export { VERSION } from "./version.js";
