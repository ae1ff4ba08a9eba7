import path from 'node:path';

const at = (name) => path.join(import.meta.dirname, '..', 'contenders', `${name}.mjs`);

const tuned = { noAsyncTraces: true };

export const RAW_CORE = { key: 'raw', title: 'nats.js, JSON and 5 headers (base)', module: at('core-raw') };
export const BARE_CORE = { key: 'bare', title: 'nats.js, JSON, no headers', module: at('core-raw-bare') };
export const OUR_CORE = {
  key: 'events',
  title: '@venta/events, ephemeral',
  module: at('events'),
  options: { delivery: 'ephemeral' },
};

/** One event by itself: confirmed by the server as `emit` is, and not. */
export const CONFIRMED_CORE = {
  ...RAW_CORE,
  title: 'nats.js, published and confirmed (base)',
  options: { confirmed: true },
};
export const UNCONFIRMED_CORE = {
  ...RAW_CORE,
  key: 'unconfirmed',
  title: 'nats.js, published, not confirmed',
};

export const RAW_STREAM = {
  key: 'raw',
  title: 'nats.js, `js.publish` with `noAsyncTraces` (base)',
  module: at('jetstream-raw'),
  options: tuned,
};
export const DEFAULT_STREAM = {
  key: 'default',
  title: 'nats.js, `js.publish` as it comes',
  module: at('jetstream-raw'),
};
export const OUR_STREAM = { key: 'events', title: '@venta/events, durable', module: at('events') };

/** The same contender with further options. */
export const having = (contender, options) => ({
  ...contender,
  options: { ...contender.options, ...options },
});
