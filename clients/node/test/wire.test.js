import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { inspect } from "node:util";

import { qualified } from "../src/direct.js";
import { ConfigurationError, connectionError } from "../src/errors.js";
import * as client from "../src/index.js";
import { functionError, parseAnswer, problem } from "../src/wire.js";

const schema = (name) => JSON.parse(readFileSync(new URL(`../../../docs/schemas/${name}.schema.json`, import.meta.url)));
const [ANSWER] = schema("token-answer").examples;
const NAMES = schema("error-message").properties.error.examples;
const SECRET = ANSWER.access_token;

test("the example of the contract is read", () => {
  const { token, expiresIn, cacheSeconds } = parseAnswer(JSON.stringify({ ...ANSWER, more: 1 }));

  assert.equal(token.accessToken(), SECRET);
  assert.equal(token.version, ANSWER.version);
  assert.equal(new Date(token.expiresAt).getTime(), new Date(ANSWER.expires_at).getTime());
  assert.deepEqual([expiresIn, cacheSeconds], [ANSWER.expires_in, ANSWER.cache_seconds]);
});

const WRONG = {
  access_token: [undefined, "", 5, "two\nlines", "ü"],
  token_type: [undefined, "mac"],
  version: [undefined, "", "x".repeat(257), "a\u0007"],
  expires_at: [undefined, 5, "soon", "2027-11-10T09:00:00"],
  expires_in: [undefined, "5", -1, null, 1e12],
  cache_seconds: [undefined, true, -1],
};
for (const [field, values] of Object.entries(WRONG)) {
  test(`an answer whose ${field} is wrong is named by the field, and not quoted`, () => {
    for (const value of values) {
      const text = JSON.stringify({ ...ANSWER, [field]: value });
      assert.throws(() => parseAnswer(text), (error) => {
        assert.ok(error instanceof client.UnexpectedAnswer);
        assert.ok(error.message.includes(field) && !error.message.includes(SECRET));
        return true;
      });
    }
  });
}

test("an answer that is no JSON object is not quoted", () => {
  for (const text of ["", "[]", "null", `"${SECRET}"`, `{${SECRET}`]) {
    assert.throws(() => parseAnswer(text), { name: "UnexpectedAnswer", message: /not a JSON object/ });
  }
});

const KINDS = { CredentialsRefused: "ConfigurationError" };
for (const name of ["StoreUnavailable", "VendorUnavailable", "VendorProtocolError"]) KINDS[name] = "VendingUnavailable";
for (const name of NAMES) {
  test(`${name} is the same error through both doors`, () => {
    const message = JSON.stringify({ error: name, message: "why", retry_after: 7 });
    const direct = functionError(JSON.stringify({ errorType: "Replaced", errorMessage: message }));
    const http = problem(503, JSON.stringify({ error: name, detail: "why", retry_after: 7 }), null);

    for (const error of [direct, http]) {
      assert.ok(error instanceof client[KINDS[name] ?? name]);
      assert.deepEqual([error.message, error.retryAfter, error.remoteError], [`${name}: why`, 7, name]);
      assert.equal(error.retryable, ["TokenUnavailable", "VendingUnavailable"].includes(error.name));
    }
  });
}

test("a crash or a timeout of the function may be mended by time, and its words are dropped", () => {
  const error = functionError(JSON.stringify({ errorType: "Sandbox.Timedout", errorMessage: SECRET }));
  assert.deepEqual([error.name, error.remoteError], ["VendingUnavailable", "Sandbox.Timedout"]);
  assert.ok(!error.message.includes(SECRET));
  assert.equal(functionError("gibberish").name, "VendingUnavailable");
  assert.ok(!functionError(JSON.stringify({ errorType: SECRET })).message.includes(SECRET));
});

const STATUSES = {
  302: "ConfigurationError",
  400: "UnexpectedAnswer",
  403: "CallerNotAllowed",
  404: "ConfigurationError",
  429: "VendingUnavailable",
  502: "VendingUnavailable",
};
for (const [status, name] of Object.entries(STATUSES)) {
  test(`HTTP ${status} without an error of ours is a ${name}`, () => {
    assert.equal(problem(Number(status), '{"Message": "Forbidden"}', null).name, name);
  });
}

test("Retry-After is read in seconds, and of a day at most", () => {
  assert.equal(problem(503, "", "9").retryAfter, 9);
  assert.equal(problem(503, "", "99999999").retryAfter, 86_400);
  assert.equal(problem(503, "", "Wed, 25 Nov 2026 09:00:00 GMT").retryAfter, undefined);
});

test("a connection that fails is named, and a certificate that is not trusted is no matter of time", () => {
  const lost = (code) => connectionError(new TypeError("fetch failed", { cause: { code } }), "there");
  assert.equal(lost("DEPTH_ZERO_SELF_SIGNED_CERT") instanceof ConfigurationError, true);
  for (const code of ["ECONNREFUSED", "ENOTFOUND", "UND_ERR_CONNECT_TIMEOUT"]) {
    assert.ok(lost(code).retryable && lost(code).message.includes(code));
  }
});

test("a token shows itself to accessToken() alone", () => {
  const { token } = parseAnswer(JSON.stringify(ANSWER));
  const shown = [inspect(token, { showHidden: true, depth: 9 }), JSON.stringify({ token }), `${token}`];
  shown.push(JSON.stringify(Object.entries(token)), inspect(structuredClone(token)));

  for (const text of shown) assert.ok(!text.includes(SECRET), text);
});

test("a function without a qualifier is called by its alias live", () => {
  const arn = "arn:aws:lambda:eu-west-1:111122223333:function:vend";
  assert.deepEqual(["vend", "111122223333:function:vend", arn].map(qualified), [
    "vend:live",
    "111122223333:function:vend:live",
    `${arn}:live`,
  ]);
  for (const name of ["vend:7", "111122223333:function:vend:7", `${arn}:7`]) assert.equal(qualified(name), name);
});

test("what says where tokens come from is one thing, and its absence is told when asked", async () => {
  for (const options of [{ functionName: "a", url: "https://a" }, { functionName: "" }]) {
    assert.throws(() => new client.TokenClient(options), ConfigurationError);
  }
  const logger = { warn() {} };
  await assert.rejects(new client.TokenClient({ logger }).get(), { message: /PERSONR_TOKEN_FUNCTION/ });
  for (const url of ["http://example.com", "https://a/?b=c", "https://u:p@a/", "no"]) {
    await assert.rejects(new client.TokenClient({ url, region: "eu-west-1", logger }).get(), ConfigurationError);
  }
});

test("the declarations, the release and the exports agree", () => {
  const declared = readFileSync(new URL("../index.d.ts", import.meta.url), "utf8");
  const names = [...declared.matchAll(/^export declare (?:class|const) (\w+)/gm)].map(([, name]) => name);
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url)));

  assert.deepEqual(names.sort(), Object.keys(client).sort());
  assert.equal(client.VERSION, version);
});
