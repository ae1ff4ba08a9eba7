/** Microseconds of the machine's monotonic clock: on Linux and macOS the same in all processes. */
export function monotonic() {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}
