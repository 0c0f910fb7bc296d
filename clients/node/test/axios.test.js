import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { inspect } from "node:util";

import { RequestNotRepeatable, TokenClient } from "../src/index.js";
import { FakeTokenSource } from "../src/testing.js";
import { quiet } from "./fakes.js";
import { reports, vendor } from "./vendor.js";

let axios;
try {
  axios = createRequire(import.meta.url)("axios"); // from NODE_PATH as well
} catch {
  axios = undefined;
}
const options = { skip: axios ? false : "axios is not installed" };

async function setUp(config) {
  const source = new FakeTokenSource();
  const personr = new TokenClient({ source, logger: quiet });
  const here = await vendor(source);
  const elsewhere = await vendor(source);
  const http = axios.create({ baseURL: here.url, ...config });
  const detach = personr.attachTo(http);
  return { source, http, here, elsewhere, detach };
}

const to = (url) => `/redirect?to=${encodeURIComponent(url)}`;
const refused = (promise) => promise.then(assert.fail, (error) => error);

test("axios: 16 calls with one dead token make one report, and the bodies are sent again", options, async () => {
  const { source, http, here } = await setUp();
  source.kill();

  const answers = await Promise.all(Array.from({ length: 16 }, () => http.post("/echo", { id: 5 })));

  assert.deepEqual(new Set(answers.map((answer) => JSON.stringify(answer.data))), new Set(['{"id":5}']));
  assert.deepEqual(reports(source), ["version-1"]);
  assert.ok(here.seen.every((request) => request.body === '{"id":5}'));
});

test("axios: a form is sent again", options, async () => {
  const { source, http } = await setUp();
  source.kill();
  const form = new FormData();
  form.set("id", "5");

  assert.match((await http.post("/echo", form)).data, /name="id"\r\n\r\n5/);
});

test("axios: an Authorization of the caller's is replaced, other headers stay", options, async () => {
  const { http, here } = await setUp();

  await http.get("/echo", { headers: { authorization: "Basic x", "x-tag": "a" } });

  const [{ headers }] = here.seen;
  assert.deepEqual([headers.authorization, headers["x-tag"]], ["Bearer token-1", "a"]);
});

for (const [way, config] of Object.entries({ "that is thrown": {}, "that is returned": { validateStatus: null } })) {
  test(`axios: a vendor that refuses everything gets two requests; a 401 ${way} is the answer`, options, async () => {
    const { source, http, here } = await setUp(config);

    const { status } = await http.get("/never").catch((error) => error);

    assert.equal(status, 401);
    assert.equal(here.seen.length, 2);
    assert.deepEqual(reports(source), ["version-1", "version-2"]);
  });
}

test("axios: a stream cannot be sent again: its version is reported, and the error says so", options, async () => {
  const { source, http } = await setUp();
  source.kill();
  const { Readable } = await import("node:stream");

  const error = await refused(http.post("/echo", Readable.from(["id=5"]), { maxRedirects: 0 }));

  assert.ok(error instanceof RequestNotRepeatable);
  assert.deepEqual(reports(source), ["version-1"]);
});

test("axios: a 401 after a redirect over another origin and back is not reported", options, async () => {
  const { source, http, here, elsewhere } = await setUp();

  const error = await refused(http.get(to(`${elsewhere.url}${to(`${here.url}/never`)}`)));

  assert.equal(error.status, 401);
  assert.deepEqual([elsewhere.seen[0], here.seen.at(-1)].map((request) => request.headers.authorization), [undefined, undefined]);
  assert.deepEqual(reports(source), []);
});

test("axios: a redirect on the same origin takes the token along, and the caller's beforeRedirect is called", options, async () => {
  const { source, http } = await setUp();
  source.kill();
  let redirects = 0;

  const answer = await http.get(to("/echo"), { beforeRedirect: () => (redirects += 1) });

  assert.deepEqual([answer.status, redirects], [200, 2]);
});

test("axios: no token is in what is written of an error or an answer", options, async () => {
  const { source, http, elsewhere } = await setUp();
  const error = await refused(http.get("/never", { transformResponse: () => "body left out" }));
  const answer = await http.get("/echo");
  source.kill();
  const lost = await refused(http.get(elsewhere.url.replace(/\d+$/, "9")));

  for (const shown of [error, answer, lost]) {
    const text = inspect(shown, { depth: 12 }) + JSON.stringify(shown.toJSON?.() ?? shown.config);
    assert.doesNotMatch(text, /token-\d/);
  }
});

test("axios: sending by fetch heals as well, and follows no redirect", options, async () => {
  const { source, http, here } = await setUp({ adapter: "fetch" });
  source.kill();

  assert.equal((await http.post("/echo", { id: 5 })).status, 200);
  assert.equal((await refused(http.get(to(`${here.url}/never`)))).status, 307);
});

test("axios: a token is not sent over plain http to another machine", options, async () => {
  const { http, source } = await setUp();

  assert.match((await refused(http.get("http://vendor.example/"))).message, /https only/);
  assert.equal(source.requests.length, 0);
});

test("axios: taken off again, the instance sends no token", options, async () => {
  const { http, here, detach } = await setUp();
  detach();

  await refused(http.get("/echo"));

  assert.equal(here.seen[0].headers.authorization, undefined);
});
