import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, test } from "node:test";

import { UrlDoor } from "../src/url_door.js";

const ANSWER = {
  access_token: "plaintext",
  token_type: "Bearer",
  expires_in: 3600,
  expires_at: "2030-01-01T00:00:00Z",
  version: "one",
  cache_seconds: 300,
};
const credentials = async () => ({ accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret", sessionToken: "session" });
const ok = (response) => response.end(JSON.stringify(ANSWER));

/** A door to a server that does these, one a request. */
async function doorTo(...answers) {
  const seen = [];
  const server = createServer((request, response) => {
    seen.push(request);
    answers[seen.length - 1](response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${server.address().port}/stage/`;
  const options = { callTimeoutSeconds: 5, region: "eu-west-1", signingService: "execute-api", credentials };
  return { seen, door: (more) => new UrlDoor(url, { ...options, ...more }) };
}

test("the identity, the region and the service that were given are signed for", async () => {
  const { door, seen } = await doorTo(ok);

  const { token } = await door().fetch({ minSeconds: 60 });

  const [{ headers, url }] = seen;
  assert.deepEqual([token.version, url], ["one", "/stage/token?min_seconds=60"]);
  assert.match(headers.authorization, /Credential=AKIDEXAMPLE\/\d{8}\/eu-west-1\/execute-api\/aws4_request/);
  assert.match(headers.authorization, /SignedHeaders=accept;host;x-amz-date;x-amz-security-token,/);
  assert.equal(headers["x-amz-security-token"], "session");
  assert.match(headers["user-agent"], /^token-client-node\/\d/);
});

test("a connection that breaks is tried once more, a report as well", async () => {
  const { door, seen } = await doorTo((response) => response.destroy(), ok);

  assert.equal((await door().fetch({ rejectedVersion: "old" })).token.version, "one");
  assert.equal(seen.length, 2);
});

test("a connection that breaks twice is retryable, and no signature is in the error", async () => {
  const { door } = await doorTo(...[1, 2].map(() => (response) => response.destroy()));

  await assert.rejects(door().fetch({}), (error) => {
    assert.deepEqual([error.name, error.retryable, error.cause], ["VendingUnavailable", true, undefined]);
    return true;
  });
});

test("a door that hangs is given up after its time", async () => {
  const { door, seen } = await doorTo(() => {});

  await assert.rejects(door({ callTimeoutSeconds: 0.1 }).fetch({}), { name: "VendingUnavailable", message: /in time/ });
  assert.equal(seen.length, 1);
});

test("a redirect is not followed with the signature", async () => {
  const { door, seen } = await doorTo((response) => response.writeHead(307, { location: "/elsewhere" }).end());

  await assert.rejects(door().fetch({}), { name: "ConfigurationError", message: /HTTP 307/ });
  assert.equal(seen.length, 1);
});

test("of an answer that is far too long no more is read than a token may have", async () => {
  const { door } = await doorTo((response) => response.end("x".repeat(10_000_000)));

  await assert.rejects(door().fetch({}), { name: "UnexpectedAnswer", message: /too long/ });
});

test("the region and the service are read from AWS's own host names", async () => {
  for (const [host, scope] of [
    ["abc.lambda-url.eu-west-3.on.aws", "eu-west-3/lambda"],
    ["abc.execute-api.us-east-2.amazonaws.com", "us-east-2/execute-api"],
  ]) {
    const sent = [];
    const fetched = globalThis.fetch;
    globalThis.fetch = async (_url, { headers }) => {
      sent.push(headers.authorization);
      return new Response(JSON.stringify(ANSWER));
    };
    try {
      await new UrlDoor(`https://${host}`, { callTimeoutSeconds: 5, credentials }).fetch({});
    } finally {
      globalThis.fetch = fetched;
    }
    assert.ok(sent[0].includes(`/${scope}/aws4_request`), sent[0]);
  }
});
