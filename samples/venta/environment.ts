/** What a deployment would set; imported before everything else. `npm start` chooses the url. */
const DEFAULTS = {
  NATS_URL: 'memory://venta', // one broker for the three applications of this process
  NATS_CLUSTER_ID: 'venta-cluster',
  EVENT_RETRY_ATTEMPTS: '3',
  EVENT_RETRY_DELAY: '50', // milliseconds; short, so that the story is
};

for (const [name, value] of Object.entries(DEFAULTS)) process.env[name] ??= value;
