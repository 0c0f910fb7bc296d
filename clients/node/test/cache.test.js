import assert from "node:assert/strict";
import { test } from "node:test";

import { TokenCache } from "../src/cache.js";
import { CallerNotAllowed, TokenUnavailable, VendingUnavailable } from "../src/errors.js";
import { CACHE_SECONDS, FakeTime, LIFE_SECONDS, ScriptedSource, quiet } from "./fakes.js";

function setUp() {
  const time = new FakeTime();
  const source = new ScriptedSource();
  const cache = new TokenCache(source, { time, logger: quiet, chance: () => 0.5 });
  const get = (seconds = 20) => time.drive(cache.get(seconds)).then((token) => token.version);
  return { time, source, cache, get };
}

async function holding(version) {
  const world = setUp();
  world.source.script.push(version);
  await world.get();
  return world;
}

test("64 promises cold and 64 with an expired token make one request each time", async () => {
  const { time, source, cache } = setUp();
  const all = () => Promise.all(Array.from({ length: 64 }, () => cache.get(20)));
  source.script.push("one", "two");

  assert.deepEqual(new Set((await time.drive(all())).map((token) => token.version)), new Set(["one"]));
  assert.equal(source.requests.length, 1);
  time.now += LIFE_SECONDS;
  assert.deepEqual(new Set((await time.drive(all())).map((token) => token.version)), new Set(["two"]));
  assert.equal(source.requests.length, 2);
});

test("64 promises that share a failure make one request", async () => {
  const { time, source, cache } = setUp();
  source.script.push(new CallerNotAllowed("no"));

  const settled = await time.drive(Promise.allSettled(Array.from({ length: 64 }, () => cache.get(20))));

  assert.ok(settled.every((one) => one.reason instanceof CallerNotAllowed));
  assert.equal(source.requests.length, 1);
});

test("a request that outlasts a caller with a stale token gives its token to the next one", async () => {
  const { time, source, get } = await holding("old");
  let land;
  source.script.push(new Promise((resolve) => (land = resolve)));
  time.now += CACHE_SECONDS;

  assert.equal(await get(), "old");
  land();
  assert.equal(await get(), "late");
  assert.equal(source.requests.length, 2);
});

test("nobody waits for another caller's deadline", async () => {
  const { time, source, cache } = setUp();
  source.script.push("hang");
  const patient = cache.get(20).catch(() => time.now);
  const begun = time.now;

  await assert.rejects(time.drive(cache.get(3)), VendingUnavailable);

  assert.equal(time.now - begun, 3);
  assert.equal((await time.drive(patient)) - begun, 20);
});

test("a wall clock set back by an hour lengthens neither a wait nor a pause", async () => {
  const { time, source, cache } = setUp();
  source.script.push(new VendingUnavailable("500"), new VendingUnavailable("500"), "hang");
  const begun = time.now;
  const failing = cache.get(10);
  await new Promise(setImmediate); // the first failure has begun a pause
  time.offset -= 3600;

  await assert.rejects(time.drive(failing), VendingUnavailable);

  assert.equal(time.now - begun, 10);
  assert.equal(source.requests.length, 3);
});

test("with a wall clock set back the held token is asked for again, and served", async () => {
  const { time, source, get } = await holding("old");
  source.script.push(new VendingUnavailable("500"));
  time.offset -= 3600;

  assert.equal(await get(), "old");
  assert.equal(source.requests.length, 2);
});

test("without time to wait a token in memory is served, and otherwise an error comes at once", async () => {
  const { time, source, get } = await holding("old");
  source.script.push("hang");
  assert.equal(await get(0), "old");
  time.now += LIFE_SECONDS;

  await assert.rejects(get(0), VendingUnavailable);
});

test("a version refused by many is reported once, and never served again", async () => {
  const { time, source, cache, get } = await holding("old");
  source.script.push("new");

  await time.drive(Promise.all(Array.from({ length: 8 }, () => cache.reject("old", 20))));
  cache.refuse("old");

  assert.equal(await get(), "new");
  assert.deepEqual(source.requests.map((request) => request.rejectedVersion), [undefined, "old"]);
});

test("a version refused while a renewal is on its way is reported by the next request", async () => {
  const { time, source, cache, get } = await holding("old");
  let land;
  source.script.push(new Promise((resolve) => (land = resolve)), "new");
  source.fetch = new Proxy(source.fetch, {
    apply: async (fetch, self, args) => {
      const given = await Reflect.apply(fetch, self, args);
      return source.requests.length === 2 ? { ...given, token: held } : given;
    },
  });
  const held = await cache.get(0);
  time.now += CACHE_SECONDS * 0.95;
  await cache.get(0); // begins the renewal, which brings the version held
  cache.refuse("old");
  land();

  assert.equal(await get(), "new");
  assert.deepEqual(source.requests.map((request) => request.rejectedVersion), [undefined, undefined, "old"]);
});

test("a version that the vending side vouches for is served again", async () => {
  const { source, cache, get } = await holding("old");
  cache.refuse("old");
  source.script.push("old");

  assert.equal(await get(), "old");
});

test("a report that fails is made again by the next caller, after the pause", async () => {
  const { time, source, cache, get } = await holding("old");
  source.script.push(new TokenUnavailable("minting", { retryAfter: 2 }), "new");

  await time.drive(cache.reject("old", 20));

  assert.equal(await get(), "new");
  assert.deepEqual(source.requests.map((request) => request.rejectedVersion), [undefined, "old", "old"]);
});

test("a report that will never succeed rejects", async () => {
  const { time, source, cache } = await holding("old");
  source.script.push(new CallerNotAllowed("no"));

  await assert.rejects(time.drive(cache.reject("old", 20)), CallerNotAllowed);
});

test("a version that has been replaced is not reported", async () => {
  const { time, source, cache, get } = await holding("new");

  await time.drive(cache.reject("old", 20));

  assert.equal(await get(), "new");
  assert.equal(source.requests.length, 1);
});

test("a token that may not be kept at all is served to those who waited for it", async () => {
  const { source, get } = setUp();
  source.cacheSeconds = 0;
  source.script.push("one", "two");

  assert.equal(await get(), "one");
  assert.equal(await get(), "two");
});

test("a token that is expired when it comes is never served", async () => {
  const { source, get } = setUp();
  source.expiresIn = 0;
  source.script.push("one");

  await assert.rejects(get(0.1), TokenUnavailable);
});

test("an outage is told once, and told again after a success", async () => {
  const time = new FakeTime();
  const source = new ScriptedSource();
  const warned = [];
  const cache = new TokenCache(source, { time, logger: { warn: (text) => warned.push(text) } });
  source.script.push("one", new VendingUnavailable("500"), new VendingUnavailable("500"), "two", new VendingUnavailable("500"));
  await time.drive(cache.get(20));
  for (let asked = 0; asked < 4; asked += 1) {
    time.now += CACHE_SECONDS;
    await time.drive(cache.get(20));
  }

  assert.equal(warned.length, 2);
});

test("what a source throws in an unforeseen way reaches nobody as it is", async () => {
  const { time, source, cache } = setUp();
  source.script.push(new Error("Bearer plaintext"));

  await assert.rejects(time.drive(cache.get(0.05)), (error) => {
    assert.ok(error instanceof VendingUnavailable);
    assert.ok(!error.message.includes("plaintext") && error.cause === undefined);
    return true;
  });
});
