/** Time as a value, so that tests can move it. */
export interface Clock {
  /** Milliseconds since the epoch, for timestamps. Jumps when the clock of the machine is set. */
  now(): number;
  /** Milliseconds since some moment, for durations. Never jumps. */
  monotonic(): number;
  /** Runs `task` once after `ms`; the returned function cancels it. */
  after(ms: number, task: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (ms, task) => {
    const timer = setTimeout(task, ms);
    return () => clearTimeout(timer);
  },
};
