/** The clocks and the timer of this machine; tests give the cache others. All in seconds. */
export const systemTime = {
  /** Since the epoch: for the age of things. */
  wall: () => Date.now() / 1000,

  /** From no particular instant on: for deadlines, since nobody sets it. */
  monotonic: () => performance.now() / 1000,

  /** A promise that is fulfilled after that time or when the signal aborts, and the means to call it off. */
  timer(seconds, signal) {
    let cancel;
    const elapsed = new Promise((resolve) => {
      const end = () => {
        cancel();
        resolve();
      };
      const handle = setTimeout(end, seconds * 1000);
      signal?.addEventListener("abort", end);
      cancel = () => {
        clearTimeout(handle);
        signal?.removeEventListener("abort", end);
      };
    });
    return { elapsed, cancel };
  },
};

/** Whether the promise settles within that time, and before the signal aborts. The promise must not reject. */
export async function settlesWithin(promise, seconds, time, signal) {
  if (seconds <= 0) return false;
  const timer = time.timer(seconds, signal);
  try {
    return await Promise.race([promise.then(() => true), timer.elapsed.then(() => false)]);
  } finally {
    timer.cancel();
  }
}
