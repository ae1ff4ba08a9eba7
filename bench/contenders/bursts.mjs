const BURST = 500;

/**
 * Publishes without a confirmation for each: a burst, and another one while the first is on its way, as somebody does who
 * must not outrun the server. What `emit` has in flight in the same suite is as much.
 */
export async function inBursts(count, send, flush) {
  let before = Promise.resolve();
  for (let index = 0; index < count; index += BURST) {
    for (let i = index; i < Math.min(index + BURST, count); i++) send(i);
    const flushed = flush();
    await before;
    before = flushed;
  }
  await before;
}

export const BURSTS_IN_FLIGHT = 2 * BURST;
