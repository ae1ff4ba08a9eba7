/** The environment of the specification, but for the url: a server where `NATS_URL` names one, else none is needed. */
const DEFAULTS = {
  NATS_URL: 'memory://',
  NATS_CLUSTER_ID: 'venta-cluster',
  NATS_CLIENT_ID: 'your-service',
  EVENT_RETRY_ATTEMPTS: '3',
  EVENT_RETRY_DELAY: '1000',
};

for (const [name, value] of Object.entries(DEFAULTS)) process.env[name] ??= value;
