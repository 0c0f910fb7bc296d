import assert from "node:assert/strict";
import { test } from "node:test";

import { Attempt } from "../src/attempt.js";
import { TokenCache } from "../src/cache.js";
import { TokenUnavailable } from "../src/errors.js";
import { FakeTime, ScriptedSource, quiet } from "./fakes.js";

const REFUSED = [401, { carried: true, repeatable: true }];
const inFiveSeconds = () => new TokenUnavailable("minting", { retryAfter: 5 });

function setUp(...script) {
  const time = new FakeTime();
  const source = new ScriptedSource();
  source.script.push(...script);
  const cache = new TokenCache(source, { time, logger: quiet, chance: () => 0 });
  return { time, attempt: new Attempt(cache, { waitSeconds: 8, logger: quiet, time }) };
}

test("the time the vendor takes for its 401 is not taken from the wait for the next token", async () => {
  const { time, attempt } = setUp("old", inFiveSeconds(), "new");
  await time.drive(attempt.first());
  time.now += 60;

  assert.equal(await time.drive(attempt.after(...REFUSED)), "Bearer plaintext-of-new");
});

test("the wait for the first token is taken from the wait for the next one", async () => {
  const { time, attempt } = setUp(inFiveSeconds(), "old", inFiveSeconds());
  await time.drive(attempt.first());

  await assert.rejects(time.drive(attempt.after(...REFUSED)), { name: "TokenUnavailable", retryAfter: 5 });
});
