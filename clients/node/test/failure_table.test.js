// The whole table: the state of the held token by the outcome of asking for another. What is observed must be what
// docs/callers.md shows. UPDATE=1 writes it there.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";

import { TokenCache } from "../src/cache.js";
import { CallerNotAllowed, TokenUnavailable, VendingUnavailable } from "../src/errors.js";
import { CACHE_SECONDS, FakeTime, LIFE_SECONDS, ScriptedSource } from "./fakes.js";

const PAGE = new URL("../../../docs/callers.md", import.meta.url);
const TABLE = /(<!-- failure table: node -->\n)[^]*?(<!-- end of failure table: node -->)/;
const WAIT_SECONDS = 20;
const AGES = { aging: 0.95 * CACHE_SECONDS, stale: CACHE_SECONDS, expired: LIFE_SECONDS };
const OUTCOMES = {
  "answers": ["new"],
  "refuses the caller": [new CallerNotAllowed("no")],
  "says: in 5 s": [new TokenUnavailable("minting", { retryAfter: 5 }), "new"],
  "says: in 900 s": [new TokenUnavailable("too young", { retryAfter: 900 })],
  "fails": [new VendingUnavailable("Lambda answered 500"), "new"],
  "hangs": ["hang"],
};
const STATES = {
  "fresh": "fresh",
  "in the last quarter of `cache_seconds`": "aging",
  "stale: older than `cache_seconds`": "stale",
  "expired": "expired",
  "refused by the vendor": "rejected",
  "none": "none",
};

async function observe(state, script) {
  const time = new FakeTime();
  const source = new ScriptedSource();
  const warned = [];
  const logger = { warn: (text) => warned.push(text) };
  const cache = new TokenCache(source, { time, logger, chance: () => 0.5 });
  if (state !== "none") {
    source.script.push("old");
    await time.drive(cache.get(WAIT_SECONDS));
    time.now += AGES[state] ?? 1;
  }
  if (state === "rejected") cache.refuse("old");
  source.script.push(...script);
  const begun = time.now;
  const asked = source.requests.length;
  const got = await time.drive(cache.get(WAIT_SECONDS)).then(
    (token) => ({ version: token.version }),
    (error) => ({ error: error.name }),
  );
  const seconds = time.now - begun;
  await time.drive(Promise.resolve());
  return { ...got, seconds, requests: source.requests.slice(asked), warned };
}

test("every state and outcome gives what docs/callers.md says", async () => {
  const rows = [];
  for (const [words, state] of Object.entries(STATES)) {
    const cells = [];
    for (const script of Object.values(OUTCOMES)) {
      const seen = await observe(state, script);
      assert.ok(seen.seconds <= WAIT_SECONDS, `${state}: nobody waits beyond the deadline`);
      const dead = ["none", "expired", "rejected"].includes(state);
      assert.ok(!(dead && seen.version === "old"), `${state}: a dead token is never served`);
      assert.ok(dead || !seen.error, `${state}: a good token is never thrown away`);
      assert.ok(seen.warned.length <= 1, `${state}: one line an outage`);
      const reported = seen.requests.map((request) => request.rejectedVersion);
      assert.ok(reported.every((version) => version === (state === "rejected" ? "old" : undefined)));
      const what = seen.error ? `\`${seen.error}\`` : seen.version === "old" ? "it" : "the new one";
      const when = seen.seconds === 0 ? "at once" : `after ${Number(seen.seconds.toFixed(1))} s`;
      cells.push(`${what} ${when} (${seen.requests.length})`);
    }
    rows.push(`| ${[words, ...cells].join(" | ")} |`);
  }
  const head = ["the token in memory", ...Object.keys(OUTCOMES).map((outcome) => `the vending side ${outcome}`)];
  const table = [`| ${head.join(" | ")} |`, `|${"---|".repeat(head.length)}`, ...rows, ""].join("\n");
  const page = readFileSync(PAGE, "utf8");
  if (process.env.UPDATE) writeFileSync(PAGE, page.replace(TABLE, `$1${table}$2`));
  assert.ok(TABLE.test(page), "docs/callers.md has no place for the table");
  assert.equal(readFileSync(PAGE, "utf8").match(TABLE)[0].split("\n").slice(1, -1).join("\n") + "\n", table);
});
