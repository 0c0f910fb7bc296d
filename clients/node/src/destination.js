import { ConfigurationError } from "./errors.js";

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/** Throws unless a token may travel to or from there: by https, or on this machine. */
export function checkDestination(url) {
  if (url.protocol === "https:") return;
  if (url.protocol === "http:" && LOOPBACK.test(url.hostname)) return;
  throw new ConfigurationError("a token travels over https only (or on loopback)");
}
