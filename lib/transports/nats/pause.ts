/** Milliseconds a stalled server may take at a stop to confirm that it delivers no more. */
export const DRAIN_LIMIT = 2000;

/** Waits, without keeping the process alive for it. */
export const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
