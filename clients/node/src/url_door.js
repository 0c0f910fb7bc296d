/** The door for callers that speak HTTP: the function URL or an HTTP API, signed with SigV4. */
import { configuredRegion, loadSdk } from "./aws_sdk.js";
import { checkDestination } from "./destination.js";
import { ConfigurationError, UnexpectedAnswer, VendingUnavailable, connectionError } from "./errors.js";
import { signed } from "./sigv4.js";
import { USER_AGENT } from "./version.js";
import { parseAnswer, problem } from "./wire.js";

// A token answer has a few hundred bytes. Whatever is behind the URL, no more than this of it is read.
const LARGEST_ANSWER_BYTES = 64 * 1024;
const AWS_HOST = /^[^.]+\.(?:(lambda)-url\.([^.]+)\.on\.|(execute-api)\.([^.]+)\.amazonaws\.)/;

export class UrlDoor {
  #url;
  #callTimeoutSeconds;
  #credentials;
  #region;
  #service;

  /** @param credentials an identity of the AWS SDK's form, or a function that gives one. */
  constructor(url, { callTimeoutSeconds, credentials, region, signingService }) {
    this.#url = checked(url);
    const [, lambda, lambdaRegion, api, apiRegion] = AWS_HOST.exec(new URL(this.#url).hostname) ?? [];
    this.#service = signingService ?? lambda ?? api ?? "lambda";
    this.#region = region ?? lambdaRegion ?? apiRegion ?? configuredRegion();
    if (!this.#region) throw new ConfigurationError("no region to sign for: the URL does not tell, and none is set");
    this.#callTimeoutSeconds = callTimeoutSeconds;
    this.#credentials = credentials;
  }

  async fetch({ rejectedVersion, minSeconds }) {
    const reports = rejectedVersion !== undefined;
    const url = new URL(`${this.#url}${reports ? "/token/rejections" : "/token"}`);
    if (!reports && minSeconds !== undefined) url.searchParams.set("min_seconds", minSeconds);
    const request = {
      method: reports ? "POST" : "GET",
      headers: { accept: "application/json", "user-agent": USER_AGENT },
      body: reports ? JSON.stringify({ version: rejectedVersion }) : undefined,
    };
    if (reports) request.headers["content-type"] = "application/json";
    const { response, text } = await this.#exchange(url, request);
    if (response.status !== 200) throw problem(response.status, text, response.headers.get("retry-after"));
    return parseAnswer(text);
  }

  close() {}

  /** One more try at once for a connection that broke, within the same time: a report may be repeated as well. */
  async #exchange(url, request) {
    const signal = AbortSignal.timeout(this.#callTimeoutSeconds * 1000);
    for (let attempt = 1; ; attempt += 1) {
      const credentials = await this.#identity();
      const headers = signed({ ...request, url, credentials, region: this.#region, service: this.#service });
      try {
        // What is signed is meant for this host alone: a redirect is an answer.
        const response = await fetch(url, { ...request, headers, signal, redirect: "manual" });
        return { response, text: await limited(response) };
      } catch (error) {
        if (error instanceof UnexpectedAnswer) throw error;
        const lost = connectionError(error, url.origin) ?? new VendingUnavailable(`${url.origin} could not be reached`);
        if (attempt > 1 || !lost.retryable || signal.aborted) throw lost;
      }
    }
  }

  async #identity() {
    const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_PROFILE: profile } = process.env;
    if (!this.#credentials && accessKeyId && secretAccessKey && !profile) {
      return { accessKeyId, secretAccessKey, sessionToken: process.env.AWS_SESSION_TOKEN || undefined };
    }
    // The SDK keeps what it has found until that expires.
    this.#credentials ??= new (await loadSdk()).LambdaClient({ region: this.#region }).config.credentials;
    try {
      return typeof this.#credentials === "function" ? await this.#credentials() : this.#credentials;
    } catch (error) {
      throw new ConfigurationError(`there are no AWS credentials to sign the request with (${error?.name})`);
    }
  }
}

async function limited(response) {
  const parts = [];
  let size = 0;
  for await (const part of response.body ?? []) {
    size += part.length;
    if (size > LARGEST_ANSWER_BYTES) throw new UnexpectedAnswer("the answer is far too long for a token");
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

function checked(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    throw new ConfigurationError("the vending URL is not a URL");
  }
  checkDestination(url);
  if (url.username || url.password || url.search || url.hash) {
    throw new ConfigurationError("the vending URL must be of the form https://host/path, and nothing more");
  }
  return url.href.replace(/\/+$/, "");
}
