import { SIGNALS, startNatsServer } from '../../scripts/setup.mjs';

/** A nats-server of the benchmark's own, stopped whatever happens. */
export async function withServer(use) {
  const server = await startNatsServer();
  const stop = async () => {
    await server.stop();
    process.exit(130);
  };
  for (const signal of SIGNALS) process.once(signal, stop);
  try {
    return await use({ url: server.url, version: server.version, pids: [server.pid] });
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
    await server.stop();
  }
}
