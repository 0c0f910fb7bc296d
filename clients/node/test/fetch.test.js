import assert from "node:assert/strict";
import { test } from "node:test";

import { ConfigurationError, RequestNotRepeatable, TokenClient, TokenUnavailable } from "../src/index.js";
import { FakeTokenSource } from "../src/testing.js";
import { quiet } from "./fakes.js";
import { reports, vendor } from "./vendor.js";

async function setUp() {
  const source = new FakeTokenSource();
  const personr = new TokenClient({ source, logger: quiet });
  const here = await vendor(source);
  const elsewhere = await vendor(source);
  return { source, personr, here, elsewhere };
}

const to = (url) => `/redirect?to=${encodeURIComponent(url)}`;

const BODIES = {
  text: () => "id=5",
  bytes: () => new TextEncoder().encode("id=5"),
  "an ArrayBuffer": () => new TextEncoder().encode("id=5").buffer,
  "a Blob": () => new Blob(["id=5"]),
  "a query": () => new URLSearchParams({ id: "5" }),
};
for (const [kind, body] of Object.entries(BODIES)) {
  test(`a dead token costs one report, and a body that is ${kind} is sent again`, async () => {
    const { source, personr, here } = await setUp();
    source.kill();

    const answer = await personr.fetch(here.url, { method: "POST", body: body() });

    assert.equal(await answer.text(), "id=5");
    assert.deepEqual(here.seen.map((request) => request.body), ["id=5", "id=5"]);
    assert.deepEqual(reports(source), ["version-1"]);
  });
}

test("a form is sent again", async () => {
  const { source, personr, here } = await setUp();
  source.kill();
  const form = new FormData();
  form.set("id", "5");

  const answer = await personr.fetch(here.url, { method: "POST", body: form });

  assert.match(await answer.text(), /name="id"\r\n\r\n5/);
});

test("a Request is sent again, with its headers, its body and its type", async () => {
  const { source, personr, here } = await setUp();
  source.kill();

  const request = new Request(here.url, { method: "PUT", body: "id=5", headers: { "x-tag": "a" } });
  const answer = await personr.fetch(request);

  assert.equal(await answer.text(), "id=5");
  const [, second] = here.seen;
  assert.deepEqual([second.method, second.headers["x-tag"]], ["PUT", "a"]);
  assert.match(second.headers["content-type"], /^text\/plain/);
});

for (const headers of [new Headers({ "x-tag": "a" }), [["x-tag", "a"]], { "x-tag": "a" }]) {
  const kind = headers.constructor.name;
  test(`headers given as ${kind} are kept, and an Authorization of the caller's is replaced`, async () => {
    const { personr, here } = await setUp();
    const given = new Headers(headers);
    given.set("authorization", "Basic x");

    await personr.fetch(here.url, { headers });
    await personr.fetch(here.url, { headers: given });

    assert.deepEqual(here.seen.map((request) => request.headers["x-tag"]), ["a", "a"]);
    assert.deepEqual(here.seen.map((request) => request.headers.authorization), ["Bearer token-1", "Bearer token-1"]);
  });
}

test("64 calls with one dead token make one report", async () => {
  const { source, personr, here } = await setUp();
  await personr.get();
  source.kill();

  const answers = await Promise.all(Array.from({ length: 64 }, () => personr.fetch(here.url)));

  assert.deepEqual(new Set(answers.map((answer) => answer.status)), new Set([200]));
  assert.deepEqual(reports(source), ["version-1"]);
});

test("a vendor that refuses everything is asked twice, and both versions are reported", async () => {
  const { source, personr, here } = await setUp();

  const answer = await personr.fetch(`${here.url}/never`);

  assert.equal(answer.status, 401);
  assert.equal(here.seen.length, 2);
  assert.deepEqual(reports(source), ["version-1", "version-2"]);
});

test("a stream cannot be sent again: its version is reported, and the error says so", async () => {
  const { source, personr, here } = await setUp();
  source.kill();
  const body = new Blob(["id=5"]).stream();

  await assert.rejects(personr.fetch(here.url, { method: "POST", body, duplex: "half" }), RequestNotRepeatable);

  assert.deepEqual(reports(source), ["version-1"]);
  assert.equal((await personr.fetch(here.url)).status, 200);
});

test("a 401 after a redirect to another origin is the answer: no token went there, and none is reported", async () => {
  const { source, personr, here, elsewhere } = await setUp();

  const answer = await personr.fetch(`${here.url}${to(`${elsewhere.url}/never`)}`);

  assert.equal(answer.status, 401);
  assert.equal(elsewhere.seen[0].headers.authorization, undefined);
  assert.deepEqual(reports(source), []);
});

test("a 401 after a redirect over another origin and back is not reported", async () => {
  const { source, personr, here, elsewhere } = await setUp();

  const answer = await personr.fetch(`${here.url}${to(`${elsewhere.url}${to(`${here.url}/never`)}`)}`);

  assert.equal(answer.status, 401);
  assert.equal(here.seen.at(-1).headers.authorization, undefined);
  assert.deepEqual(reports(source), []);
});

test("a redirect on the same origin takes the token along, and a 401 there is healed", async () => {
  const { source, personr, here } = await setUp();
  source.kill();

  const answer = await personr.fetch(`${here.url}${to("/echo")}`, { method: "POST", body: "id=5" });

  assert.equal(await answer.text(), "id=5");
  assert.deepEqual(reports(source), ["version-1"]);
});

test("a POST that is redirected by 303 becomes a GET without a body", async () => {
  const { personr, here } = await setUp();

  await personr.fetch(`${here.url}/redirect?status=303&to=/echo`, { method: "POST", body: "id=5" });

  const { method, body, headers } = here.seen.at(-1);
  assert.deepEqual([method, body, headers["content-type"]], ["GET", "", undefined]);
});

test("redirect: error and manual mean what they mean to fetch", async () => {
  const { personr, here } = await setUp();

  await assert.rejects(personr.fetch(`${here.url}${to("/")}`, { redirect: "error" }), TypeError);
  assert.equal((await personr.fetch(`${here.url}${to("/")}`, { redirect: "manual" })).status, 307);
});

test("a chain of redirects that does not end is an error", async () => {
  const { personr, here } = await setUp();

  await assert.rejects(personr.fetch(`${here.url}/redirect`), TypeError);
});

test("a token is not sent over plain http to another machine", async () => {
  const { personr, source } = await setUp();

  await assert.rejects(personr.fetch("http://vendor.example/"), ConfigurationError);
  assert.equal(source.requests.length, 0);
});

test("where no next token comes in time, the error says why and when", async () => {
  const { source, personr, here } = await setUp();
  await personr.get();
  source.kill();
  source.failWith(new TokenUnavailable("too young", { retryAfter: 900 }));

  await assert.rejects(personr.fetch(here.url), { name: "TokenUnavailable", retryAfter: 900, retryable: true });
});

test("who calls a request off does not wait for its token", async () => {
  const { here } = await setUp();
  const personr = new TokenClient({ source: { fetch: () => new Promise(() => {}) }, logger: quiet });
  const off = new AbortController();

  const calls = [new Request(here.url, { signal: off.signal }), here.url].map((input) =>
    personr.fetch(input, input === here.url ? { signal: off.signal } : {}),
  );
  off.abort(new Error("called off"));

  for (const call of calls) await assert.rejects(call, { message: "called off" });
  assert.equal(here.seen.length, 0);
});
