import { steadyLogger } from '../../core/logger';
import type { EventTransport } from '../../core/transport';
import { NatsTransport } from './nats-transport';
import type { NatsStreamLimits, NatsTransportOptions } from './options';

export type { NatsTransportOptions } from './options';

const DAY = 24 * 60 * 60 * 1000;
const LIMITS: NatsStreamLimits = Object.freeze({
  storage: 'file',
  replicas: 1,
  maxAge: 7 * DAY,
  maxBytes: -1,
  maxMessages: -1,
  duplicateWindow: 2 * 60 * 1000,
  discard: 'new',
});

/** Events over NATS. What is left out has the default of the module's option of that name. */
export const createNatsTransport = (
  options: Pick<NatsTransportOptions, 'servers' | 'clusterId' | 'app' | 'logger'> &
    Partial<NatsTransportOptions>,
): EventTransport =>
  new NatsTransport({
    clientId: options.app,
    delivery: 'durable',
    credentials: {},
    connectTimeout: 10_000,
    publishTimeout: 10_000,
    ackWait: 30_000,
    manage: true,
    events: { effective: LIMITS, explicit: {} },
    deadLetters: { effective: { ...LIMITS, maxAge: 30 * DAY }, explicit: {} },
    ...options,
    logger: steadyLogger(options.logger),
  });
