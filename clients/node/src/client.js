import { inspect } from "node:util";

import { Attempt } from "./attempt.js";
import { attach } from "./bearer_axios.js";
import { bearerFetch } from "./bearer_fetch.js";
import { TokenCache } from "./cache.js";
import { DirectInvoke } from "./direct.js";
import { ConfigurationError } from "./errors.js";
import { UrlDoor } from "./url_door.js";

// Long enough for a refresh from a cold start, short enough for an answer within an API Gateway's 29 seconds.
const WAIT_SECONDS = 20;
// The vending function's own timeout is 10 seconds.
const CALL_TIMEOUT_SECONDS = 12;

// To standard error. console.info and console.debug write to standard output, which may be a program's result.
const WARNINGS = { warn: (text) => console.warn(text) };

/** Tokens for one process. Make one, at import time if you like: it does nothing until asked. index.d.ts says more. */
export class TokenClient {
  #options;
  #cache;
  #logger;
  #source;
  #waitSeconds;

  constructor(options = {}) {
    const { functionName, url, source, minSeconds, waitSeconds = WAIT_SECONDS, logger = WARNINGS } = options;
    const given = [functionName, url, source].filter((value) => value !== undefined);
    if (given.length > 1) throw new ConfigurationError("give a functionName, a url or a source, and only one of them");
    if (given[0] === "") throw new ConfigurationError("the function name or the URL that was given is empty");
    this.#options = { callTimeoutSeconds: CALL_TIMEOUT_SECONDS, ...options };
    this.#logger = logger;
    this.#waitSeconds = waitSeconds;
    this.#source = source;
    this.#cache = new TokenCache({ fetch: (request) => this.#door().fetch(request) }, { minSeconds, logger });
  }

  get({ waitSeconds = this.#waitSeconds, signal } = {}) {
    return this.#cache.get(waitSeconds, signal);
  }

  async authHeader(options) {
    return { Authorization: `Bearer ${(await this.get(options)).accessToken()}` };
  }

  reject(version, { waitSeconds = this.#waitSeconds } = {}) {
    return this.#cache.reject(version, waitSeconds);
  }

  // An arrow function, so that it can be handed to a library that takes a fetch.
  fetch = (input, init = {}) => {
    const { waitSeconds, ...rest } = init;
    const send = this.#options.fetch ?? globalThis.fetch;
    return bearerFetch((signal) => this.#attempt(waitSeconds, signal), send, input, rest);
  };

  attachTo(axios, { waitSeconds } = {}) {
    return attach((signal) => this.#attempt(waitSeconds, signal), axios);
  }

  close() {
    this.#source?.close?.();
  }

  [inspect.custom]() {
    const { functionName, url } = this.#options.source ? {} : this.#place();
    return `TokenClient(${functionName ?? url ?? "source"})`;
  }

  #attempt(waitSeconds = this.#waitSeconds, signal = undefined) {
    return new Attempt(this.#cache, { waitSeconds, signal, logger: this.#logger });
  }

  #place() {
    const { functionName, url } = this.#options;
    if (functionName ?? url) return { functionName, url };
    const { PERSONR_TOKEN_FUNCTION: named, PERSONR_TOKEN_URL: addressed } = process.env;
    return named ? { functionName: named } : { url: addressed || undefined };
  }

  #door() {
    if (this.#source) return this.#source;
    const { functionName, url } = this.#place();
    if (!(functionName ?? url)) {
      throw new ConfigurationError(
        "nothing says where tokens come from: pass functionName or url, or set PERSONR_TOKEN_FUNCTION" +
          " (stack output VendFunctionArn) or PERSONR_TOKEN_URL (VendUrl)",
      );
    }
    this.#source = functionName ? new DirectInvoke(functionName, this.#options) : new UrlDoor(url, this.#options);
    return this.#source;
  }
}
