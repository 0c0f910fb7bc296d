import { setImmediate as turn } from "node:timers/promises";

import { Token } from "../src/token.js";

export const LIFE_SECONDS = 3600;
export const CACHE_SECONDS = 300;
export const quiet = { warn() {} };

/** Clocks that stand still until somebody waits; `wall` may be set by hand. */
export class FakeTime {
  #timers = [];
  now = 1000;
  offset = 1_700_000_000;

  wall = () => this.now + this.offset;
  monotonic = () => this.now;

  timer = (seconds) => {
    const timer = { at: this.now + seconds };
    timer.elapsed = new Promise((resolve) => (timer.fire = resolve));
    this.#timers.push(timer);
    return { elapsed: timer.elapsed, cancel: () => this.#drop(timer) };
  };

  #drop(timer) {
    this.#timers = this.#timers.filter((other) => other !== timer);
  }

  /** Whatever the promise waits for happens at once; fails if nothing is left to wait for. */
  async drive(promise) {
    let settled = false;
    promise.then(() => (settled = true), () => (settled = true));
    for (;;) {
      await turn();
      if (settled) return promise;
      const next = this.#timers.sort((one, other) => one.at - other.at)[0];
      if (!next) throw new Error("nothing that is waited for can happen");
      this.#drop(next);
      this.now = Math.max(this.now, next.at);
      next.fire();
    }
  }
}

/** Does what a test says, in order: a version, an error, or "hang". */
export class ScriptedSource {
  requests = [];
  script = [];
  cacheSeconds = CACHE_SECONDS;
  expiresIn = LIFE_SECONDS;

  async fetch(request) {
    this.requests.push(request);
    const step = this.script.shift();
    if (step === undefined) throw new Error("a request that the test did not expect");
    if (step === "hang") await new Promise(() => {});
    if (step instanceof Promise) await step;
    if (step instanceof Error) throw step;
    return { ...answer(typeof step === "string" ? step : "late", this.cacheSeconds), expiresIn: this.expiresIn };
  }
}

export function answer(version, cacheSeconds = CACHE_SECONDS) {
  const token = new Token(`plaintext-of-${version}`, { version, expiresAt: "2030-01-01T00:00:00Z" });
  return { token, expiresIn: LIFE_SECONDS, cacheSeconds };
}
