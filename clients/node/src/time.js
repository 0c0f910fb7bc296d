/** The clocks and the timer of this machine; tests give the cache others. All in seconds. */
export const systemTime = {
  /** Since the epoch: for the age of things. */
  wall: () => Date.now() / 1000,

  /** From no particular instant on: for deadlines, since nobody sets it. */
  monotonic: () => performance.now() / 1000,

  /** A promise that is fulfilled after that time, and the means to call it off. */
  timer(seconds) {
    let handle;
    const elapsed = new Promise((resolve) => {
      handle = setTimeout(resolve, seconds * 1000);
    });
    return { elapsed, cancel: () => clearTimeout(handle) };
  },
};

/** Whether the promise settles within that time. The promise must not reject. */
export async function settlesWithin(promise, seconds, time) {
  if (seconds <= 0) return false;
  const timer = time.timer(seconds);
  try {
    return await Promise.race([promise.then(() => true), timer.elapsed.then(() => false)]);
  } finally {
    timer.cancel();
  }
}
