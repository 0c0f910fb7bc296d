/**
 * How fresh a held token is: a pure function of what is held, what the vendor refused, and the wall clock.
 *
 * The clock is the wall clock, in seconds since the epoch: a monotonic clock may stand still while a Lambda
 * environment is frozen, and the token ages all the same.
 */

// A renewal begins when between 75 % and 90 % of the time the token may be kept has passed. Where in that range is
// left to chance, so that a fleet started together does not ask together.
const ADVISORY_FROM = 0.75;
const ADVISORY_SPREAD = 0.15;
// A clock that is further behind the moment of the request has been set back, and says nothing about age.
const CLOCK_TOLERANCE_SECONDS = 1;

/** Serve it. */
export const FRESH = "fresh";
/** Serve it, and renew it in the background. */
export const AGING = "aging";
/** Ask; if there is no answer soon, it is still good. */
export const STALE = "stale";
/** Never serve it. */
export const NONE = "none";

/** An answer with its instants, all counted from just before it was asked for. */
export function hold({ token, expiresIn, cacheSeconds }, askedAt, chance) {
  const kept = Math.min(cacheSeconds, expiresIn);
  return Object.freeze({
    token,
    askedAt,
    renewAt: askedAt + kept * (ADVISORY_FROM + ADVISORY_SPREAD * chance),
    staleAt: askedAt + kept,
    expiresAt: askedAt + expiresIn,
  });
}

/** The verdict at `now`. What must not be served is looked for first. */
export function judge(held, refusedVersions, now) {
  if (!held || now >= held.expiresAt || refusedVersions.includes(held.token.version)) return NONE;
  if (now >= held.staleAt || now < held.askedAt - CLOCK_TOLERANCE_SECONDS) return STALE;
  return now >= held.renewAt ? AGING : FRESH;
}
