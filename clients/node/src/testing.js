import { Token } from "./token.js";

/** A vending function in memory, for the tests of a caller: testing.d.ts says how it behaves. */
export class FakeTokenSource {
  requests = [];
  #number = 1;
  #dead = false;
  #failures = [];
  #lifetimeSeconds;
  #cacheSeconds;

  constructor({ lifetimeSeconds = 31_536_000, cacheSeconds = 300 } = {}) {
    this.#lifetimeSeconds = lifetimeSeconds;
    this.#cacheSeconds = cacheSeconds;
  }

  get version() {
    return `version-${this.#number}`;
  }

  async fetch(request) {
    this.requests.push(request);
    if (this.#failures.length) throw this.#failures.shift();
    if (request.rejectedVersion === this.version) this.replace();
    const expiresAt = new Date(Date.now() + this.#lifetimeSeconds * 1000).toISOString();
    return {
      token: new Token(`token-${this.#number}`, { version: this.version, expiresAt }),
      expiresIn: this.#lifetimeSeconds,
      cacheSeconds: this.#cacheSeconds,
    };
  }

  kill() {
    this.#dead = true;
  }

  replace() {
    this.#number += 1;
    this.#dead = false;
  }

  failWith(...errors) {
    this.#failures.push(...errors);
  }

  accepts(authorization) {
    return !this.#dead && authorization === `Bearer token-${this.#number}`;
  }
}
