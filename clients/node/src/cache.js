/**
 * The cache: one held token, one request at a time, and what each caller gets meanwhile.
 *
 * test/failure_table.test.js runs the table of state and outcome; docs/callers.md shows it.
 */
import { TokenClientError, TokenUnavailable, VendingUnavailable } from "./errors.js";
import { AGING, FRESH, NONE, STALE, hold, judge } from "./freshness.js";
import { settlesWithin, systemTime } from "./time.js";

/** How long a caller with a stale token waits for a better one. The request goes on without it. */
export const STALE_WAIT_SECONDS = 2;

// Between two attempts at a function that fails without saying how long to wait: full jitter below a ceiling that
// doubles from the first to the last of these.
const PAUSE_FLOOR_SECONDS = 0.1;
const PAUSE_FIRST_SECONDS = 1;
const PAUSE_LAST_SECONDS = 8;
// However long the vending side says to wait, after this somebody asks again: it may have healed since.
const PAUSE_LONGEST_SECONDS = 10;
// Versions the vendor refused: another container of the vending function may still hand one out.
const REMEMBERED_REFUSALS = 8;

export class TokenCache {
  #source;
  #minSeconds;
  #logger;
  #time;
  #chance;
  #held; // replaced whole
  #flight; // the one request on its way
  #pause; // after a failure: nobody asks between `since` and `until`
  #failures = 0;
  #refused = [];
  #unreported; // the refused version that the vending side has not answered for yet

  /**
   * @param source `fetch({rejectedVersion, minSeconds})` gives `{token, expiresIn, cacheSeconds}`, or rejects with
   *   a TokenClientError, within a time of its own.
   */
  constructor(source, { minSeconds, logger, time = systemTime, chance = Math.random } = {}) {
    this.#source = source;
    this.#minSeconds = minSeconds;
    this.#logger = logger;
    this.#time = time;
    this.#chance = chance;
  }

  /**
   * A token that is neither expired nor known to be refused.
   *
   * Rejects with a TokenClientError once `waitSeconds` are over, or as soon as waiting is known to be in vain; with
   * the signal's reason when it aborts.
   */
  async get(waitSeconds, signal) {
    const giveUpAt = this.#time.monotonic() + waitSeconds;
    for (;;) {
      signal?.throwIfAborted();
      const verdict = this.#verdict();
      if (verdict === AGING && !this.#flight && !this.#paused()) this.#begin();
      if (verdict === FRESH || verdict === AGING) return this.#held.token;
      const flight = this.#paused() ? undefined : (this.#flight ?? this.#begin());
      if (flight) {
        const left = giveUpAt - this.#time.monotonic();
        const patience = verdict === STALE ? Math.min(left, STALE_WAIT_SECONDS) : left;
        const landed = await settlesWithin(flight.done, patience, this.#time, signal);
        if (flight.token && this.#isGood(flight.token)) return flight.token;
        if (!landed && this.#verdict() === NONE && giveUpAt <= this.#time.monotonic()) {
          throw new VendingUnavailable("no token yet: the vending function has not answered in the time to wait");
        }
      }
      if (this.#verdict() !== NONE) return this.#held.token;
      const error = flight ? flight.error : this.#pause.error;
      if (error) await this.#endure(error, giveUpAt, signal);
    }
  }

  /** Take note that the vendor refused this version: it is never served again unless the vending side vouches for it. */
  refuse(version) {
    if (this.#held && this.#held.token.version !== version) return; // replaced already: nothing is left to heal
    if (!this.#refused.includes(version)) {
      this.#refused = [...this.#refused, version].slice(-REMEMBERED_REFUSALS);
      this.#pause = undefined; // what failed before was asked without this news
    }
    this.#unreported = version;
  }

  /**
   * Refuse the version and report it, waiting no longer than this. What time may mend is left to the next `get`,
   * which reports it again; what it does not mend rejects.
   */
  async reject(version, waitSeconds) {
    const giveUpAt = this.#time.monotonic() + waitSeconds;
    this.refuse(version);
    while (this.#unreported === version && !this.#paused()) {
      const flight = this.#flight ?? this.#begin();
      if (!(await settlesWithin(flight.done, giveUpAt - this.#time.monotonic(), this.#time))) return;
      if (flight.error && !flight.error.retryable) throw flight.error;
    }
  }

  #verdict() {
    return judge(this.#held, this.#refused, this.#time.wall());
  }

  #isGood(token) {
    return this.#held?.token === token && this.#verdict() !== NONE;
  }

  #paused() {
    const now = this.#time.wall();
    // Before `since` the clock has been set back; that must not stretch a pause.
    return this.#pause && this.#pause.since <= now && now < this.#pause.until;
  }

  #begin() {
    const flight = { request: { rejectedVersion: this.#unreported, minSeconds: this.#minSeconds } };
    this.#flight = flight;
    flight.done = this.#fly(flight);
    return flight;
  }

  /** Makes the request and lands it, whatever happens; never rejects. */
  async #fly(flight) {
    const askedAt = this.#time.wall();
    try {
      const held = hold(await this.#source.fetch(flight.request), askedAt, this.#chance());
      if (this.#time.wall() >= held.expiresAt) {
        throw new TokenUnavailable("the vending function handed out an expired token");
      }
      this.#failures = 0;
      this.#pause = undefined;
      this.#accept(flight, held);
    } catch (error) {
      flight.error =
        error instanceof TokenClientError
          ? error
          : new VendingUnavailable(`the request for a token failed in an unforeseen way (${error?.name})`);
      this.#noteFailure(flight.error);
    } finally {
      this.#flight = undefined;
    }
  }

  /** Hold the answer, unless it is a version known to be refused and asked for without saying so. */
  #accept(flight, held) {
    const { version } = held.token;
    if (this.#refused.includes(version)) {
      if (flight.request.rejectedVersion !== version) {
        this.#unreported = version;
        return;
      }
      // The vending side was told and hands it out all the same: it has tried it and vouches for it.
      this.#refused = this.#refused.filter((refused) => refused !== version);
    }
    this.#held = held;
    this.#unreported = undefined;
    flight.token = held.token;
    this.#logger.debug?.(`token client: holds version ${version}`);
  }

  #noteFailure(error) {
    const now = this.#time.wall();
    if (this.#failures === 0 && this.#verdict() !== NONE) {
      this.#logger.warn(`token client: renewal failed, the held token is served: ${error.name}: ${error.message}`);
    }
    const ceiling = Math.min(PAUSE_FIRST_SECONDS * 2 ** Math.min(this.#failures, 10), PAUSE_LAST_SECONDS);
    let seconds = error.retryable ? Math.max(PAUSE_FLOOR_SECONDS, ceiling * this.#chance()) : PAUSE_FIRST_SECONDS;
    if (error.retryAfter !== undefined) {
      // Up to a second later than advised, so that those who were told the same do not come at once.
      seconds = Math.min(error.retryAfter, PAUSE_LONGEST_SECONDS);
      seconds += Math.min(1, seconds * 0.1) * this.#chance();
    }
    this.#failures += 1;
    this.#pause = { error, since: now, until: now + seconds, worthItAt: now + Math.max(seconds, error.retryAfter ?? 0) };
  }

  /** Wait until asking again is worth it; rejects when that is never, or later than the caller can wait. */
  async #endure(error, giveUpAt, signal) {
    const now = this.#time.wall();
    const pause = this.#paused() ? this.#pause : { until: now, worthItAt: now };
    const left = giveUpAt - this.#time.monotonic();
    if (!error.retryable || pause.worthItAt - now > left || left <= 0) throw error;
    await this.#time.timer(pause.until - now, signal).elapsed;
  }
}
