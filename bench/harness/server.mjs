import { SIGNALS, startNatsServer } from '../../scripts/setup.mjs';

/** A suite may have one of its own besides the one of all. */
const running = new Set();

/** A nats-server of the benchmark's own, stopped whatever happens. */
export async function withServer(use) {
  const server = await startNatsServer();
  running.add(server);
  const stop = async () => {
    await Promise.all([...running].map((each) => each.stop()));
    process.exit(130);
  };
  for (const signal of SIGNALS) process.once(signal, stop);
  try {
    return await use({ url: server.url, version: server.version, pids: [server.pid] });
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
    await server.stop();
    running.delete(server);
  }
}
