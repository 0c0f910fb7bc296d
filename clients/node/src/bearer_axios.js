/** Interceptors for axios: the token with each request, and one 401 healed. */
import { checkDestination } from "./destination.js";

const STATE = "tokenVending"; // a text, since axios drops symbols when it merges configurations

/**
 * @param begin given a request's signal, gives what that request takes its tokens from.
 * @param instance the axios instance.
 * @returns a function that takes the interceptors off again.
 */
export function attach(begin, instance) {
  const { request, response } = instance.interceptors;

  async function bear(config) {
    const url = new URL(instance.getUri(config));
    checkDestination(url);
    const state = config[STATE] ?? new State(begin(config.signal), config.beforeRedirect);
    config[STATE] = state;
    await state.prepare(config, url.origin);
    return config;
  }

  async function heal(answer, config, outcome) {
    const state = config?.[STATE];
    if (!state) return outcome();
    try {
      const repeatable = typeof config.data?.pipe !== "function";
      if (!(await state.mayRepeat(answer?.status, repeatable))) return outcome();
    } finally {
      cover(config, answer);
    }
    return instance.request({ ...config, beforeRedirect: state.theirs });
  }

  const ids = [
    request.use(bear),
    response.use(
      (answer) => heal(answer, answer.config, () => answer),
      (error) => {
        if (error?.request) Object.defineProperty(error, "request", { enumerable: false });
        return heal(error?.response, error?.config, () => Promise.reject(error));
      },
    ),
  ];
  return () => {
    request.eject(ids[0]);
    response.eject(ids[1]);
  };
}

/** One request with its repetition. What bears the token is private: axios writes its configuration into errors. */
class State {
  #attempt;
  #header;
  #carried;

  constructor(attempt, theirs) {
    this.#attempt = attempt;
    this.theirs = theirs;
  }

  async prepare(config, origin) {
    this.#header ??= await this.#attempt.first();
    this.#carried = true;
    config.headers.set("Authorization", this.#header);
    // Where axios sends by fetch, redirects cannot be watched: there they are not followed.
    config.fetchOptions = { ...config.fetchOptions, redirect: "manual" };
    config.beforeRedirect = (options, ...rest) => {
      if (new URL(options.href).origin !== origin) {
        this.#carried = false;
        for (const name of Object.keys(options.headers)) {
          if (name.toLowerCase() === "authorization") delete options.headers[name];
        }
      }
      this.theirs?.(options, ...rest);
    };
  }

  async mayRepeat(status, repeatable) {
    this.#header = await this.#attempt.after(status, { carried: this.#carried, repeatable });
    return this.#header !== undefined;
  }
}

/** Takes the token out of what loggers write of an answer or an error: their configuration and their request. */
function cover(config, answer) {
  config.headers?.delete?.("Authorization");
  if (answer?.request) Object.defineProperty(answer, "request", { enumerable: false });
}
