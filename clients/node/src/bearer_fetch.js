/** `fetch` with the token: heals one 401, and takes the token along no redirect to another origin. */
import { checkDestination } from "./destination.js";

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const MOST_REDIRECTS = 20;
const OF_A_BODY = ["content-encoding", "content-language", "content-length", "content-location", "content-type"];
const OF_AN_ORIGIN = ["authorization", "cookie", "proxy-authorization"];

/**
 * @param begin given the request's signal, gives what this one request takes its tokens from.
 * @param send the fetch to send with.
 */
export async function bearerFetch(begin, send, input, init = {}) {
  const request = await taken(input, init);
  checkDestination(request.url);
  const repeatable = !isStream(request.init.body);
  const attempt = begin(request.init.signal);
  let header = await attempt.first();
  for (;;) {
    const { response, carried } = await follow(send, request, header);
    try {
      header = await attempt.after(response.status, { carried, repeatable });
    } catch (error) {
      await response.body?.cancel();
      throw error;
    }
    if (header === undefined) return response;
    await response.body?.cancel(); // the vendor's 401 holds the token
  }
}

/** A Request comes apart into its address and options, its body in memory so that it can be sent twice. */
async function taken(input, init) {
  if (!(input instanceof Request)) return { url: new URL(input), init };
  const { method, headers, signal, redirect } = input;
  const body = input.body && init.body === undefined ? await input.arrayBuffer() : undefined;
  return { url: new URL(input.url), init: { method, headers, signal, redirect, body, ...init } };
}

/**
 * Sends it and follows redirects, as fetch does. Done here because fetch does not tell where a chain has led: after
 * a way over another origin the last request lacks the token, and its 401 says nothing about it.
 */
async function follow(send, { url, init }, header) {
  const origin = url.origin;
  const headers = new Headers(init.headers);
  headers.set("authorization", header);
  let options = { ...init, headers, redirect: "manual" };
  for (let hops = 0; ; hops += 1) {
    const response = await send(url, options);
    const location = REDIRECTS.has(response.status) ? response.headers.get("location") : null;
    const carried = headers.has("authorization");
    if (location === null || init.redirect === "manual") return { response, carried };
    await response.body?.cancel();
    if (init.redirect === "error" || hops === MOST_REDIRECTS) throw new TypeError("redirected too often, or at all");
    url = new URL(location, url);
    if (url.origin !== origin) OF_AN_ORIGIN.forEach((name) => headers.delete(name));
    const method = String(options.method ?? "GET").toUpperCase();
    const seeOther = response.status === 303 && !["GET", "HEAD"].includes(method);
    if (seeOther || (response.status < 303 && method === "POST")) {
      options = { ...options, method: "GET", body: undefined };
      OF_A_BODY.forEach((name) => headers.delete(name));
    } else if (isStream(options.body)) {
      throw new TypeError("a redirect asks for the body again, and it is a stream");
    }
  }
}

/** Whether a body is gone once it has been sent. */
function isStream(body) {
  if (body === undefined || body === null || typeof body === "string") return false;
  const kept = [URLSearchParams, FormData, Blob, ArrayBuffer];
  return !ArrayBuffer.isView(body) && !kept.some((kind) => body instanceof kind);
}
