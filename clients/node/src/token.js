import { createHash } from "node:crypto";
import { inspect } from "node:util";

/**
 * One access token, the name of its version, and when it ends. It does not change.
 *
 * The plaintext is a private field and leaves through `accessToken()` alone: not through console.log, JSON,
 * template strings, Object.entries or structuredClone.
 */
export class Token {
  #accessToken;

  constructor(accessToken, { version, expiresAt }) {
    this.#accessToken = accessToken;
    this.version = version;
    this.expiresAt = expiresAt;
    Object.freeze(this);
  }

  /** The plaintext, for the Authorization header and for nothing else. */
  accessToken() {
    return this.#accessToken;
  }

  /** Twelve hexadecimal digits of the token's SHA-256: enough to tell two tokens apart in a log. */
  get fingerprint() {
    return createHash("sha256").update(this.#accessToken).digest("hex").slice(0, 12);
  }

  toJSON() {
    return { version: this.version, expiresAt: this.expiresAt, fingerprint: this.fingerprint };
  }

  toString() {
    return `Token(version=${this.version}, fingerprint=${this.fingerprint})`;
  }

  [inspect.custom]() {
    return this.toString();
  }
}
