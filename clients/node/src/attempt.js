import { STALE_WAIT_SECONDS } from "./cache.js";
import { RequestNotRepeatable } from "./errors.js";
import { systemTime } from "./time.js";

/**
 * What one request does about tokens: its first one, and after a 401 the report and the next one.
 *
 * The request is sent once more, never twice: whatever the second answer is, it is the answer. A second token that
 * is refused as well is reported too, so that the stack heals before the next request comes.
 */
export class Attempt {
  #cache;
  #logger;
  #signal;
  #time;
  #left;
  #token;
  #isSecond = false;

  /**
   * @param waitSeconds for both tokens together; the time the vendor takes does not count.
   * @param signal the request's own: who calls it off does not wait for a token either.
   */
  constructor(cache, { waitSeconds, logger, signal, time = systemTime }) {
    this.#cache = cache;
    this.#left = waitSeconds;
    this.#logger = logger;
    this.#signal = signal;
    this.#time = time;
  }

  /** The Authorization header to send first. */
  async first() {
    this.#token = await this.#take();
    return bearer(this.#token);
  }

  /**
   * The header to send the request with once more; undefined if its answer stands.
   *
   * @param carried whether the request that was answered last carried the token: a redirect to another origin goes
   *   without it, and that origin's 401 says nothing about it.
   * @param repeatable whether the body is still there.
   */
  async after(status, { carried, repeatable }) {
    if (status !== 401 || !carried) return undefined;
    const { version } = this.#token;
    if (this.#isSecond) {
      await this.#report(version);
      return undefined;
    }
    this.#isSecond = true;
    if (!repeatable) {
      await this.#report(version);
      throw new RequestNotRepeatable(
        `the vendor refused token version ${version}, and the request's body is a stream that cannot be sent again;` +
          " a new request with a new body is given the next token",
      );
    }
    this.#cache.refuse(version); // the next request for a token reports it
    this.#logger.info?.(`token client: the vendor refused version ${version}`);
    this.#token = await this.#take();
    return bearer(this.#token);
  }

  async #take() {
    const begun = this.#time.monotonic();
    try {
      return await this.#cache.get(this.#left, this.#signal);
    } finally {
      this.#left = Math.max(0, this.#left - (this.#time.monotonic() - begun));
    }
  }

  /** The request has been answered, and nothing that becomes of the report changes that. */
  async #report(version) {
    try {
      await this.#cache.reject(version, Math.min(this.#left, STALE_WAIT_SECONDS));
    } catch (error) {
      this.#logger.warn(`token client: the refused version ${version} could not be reported: ${error.message}`);
    }
  }
}

function bearer(token) {
  return `Bearer ${token.accessToken()}`;
}
