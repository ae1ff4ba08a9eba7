/** What a deployment would set; imported before everything else. Plain Nest has no transport without a server. */
const DEFAULTS = {
  NATS_CLUSTER_ID: 'shop',
  EVENT_RETRY_ATTEMPTS: '2',
  EVENT_RETRY_DELAY: '50', // milliseconds; short, so that the sample is
};

for (const [name, value] of Object.entries(DEFAULTS)) process.env[name] ??= value;

if (!process.env.NATS_URL) {
  process.stderr.write('NATS_URL has to name a nats-server with JetStream, such as nats://localhost:4222\n');
  process.exit(1);
}

export const servers = process.env.NATS_URL.split(',');
