/** Calls `emit` with 0 to `count` - 1, always so many of them unanswered. */
export async function inFlight(count, limit, emit) {
  let next = 0;
  const worker = async () => {
    while (next < count) await emit(next++);
  };
  await Promise.all(Array.from({ length: Math.min(limit, count) }, worker));
}
