/**
 * AWS Signature Version 4 for one request with a short body, by node:crypto.
 *
 * Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
import { createHash, createHmac } from "node:crypto";

const ALGORITHM = "AWS4-HMAC-SHA256";

/** The headers to send: those given, the date, the session token and the signature. */
export function signed({ method, url, headers = {}, body = "", credentials, region, service, now = new Date() }) {
  const stamp = now.toISOString().replace(/[-:]|\.\d{3}/g, "");
  const scope = `${stamp.slice(0, 8)}/${region}/${service}/aws4_request`;
  const sent = { ...headers, "x-amz-date": stamp };
  if (credentials.sessionToken) sent["x-amz-security-token"] = credentials.sessionToken;
  const entries = Object.entries({ ...sent, host: url.host })
    .map(([name, value]) => [name.toLowerCase(), String(value).trim().replace(/\s+/g, " ")])
    .filter(([name]) => name !== "user-agent") // proxies change it
    .sort(([one], [other]) => (one < other ? -1 : 1));
  const names = entries.map(([name]) => name).join(";");
  const canonical = [
    method,
    url.pathname.split("/").map(encoded).join("/"), // every service but S3 wants it encoded once more
    [...url.searchParams].map(([name, value]) => `${encoded(name)}=${encoded(value)}`).sort().join("&"),
    ...entries.map(([name, value]) => `${name}:${value}`),
    "",
    names,
    sha256(body),
  ].join("\n");
  const key = scope.split("/").reduce((secret, part) => hmac(secret, part), `AWS4${credentials.secretAccessKey}`);
  const signature = hmac(key, [ALGORITHM, stamp, scope, sha256(canonical)].join("\n")).toString("hex");
  const credential = `${credentials.accessKeyId}/${scope}`;
  const authorization = `${ALGORITHM} Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`;
  return { ...sent, authorization };
}

function encoded(text) {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

function sha256(text) {
  return createHash("sha256").update(text).digest("hex");
}

function hmac(key, text) {
  return createHmac("sha256", key).update(text).digest();
}
