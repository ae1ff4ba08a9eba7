import { Logger } from '@nestjs/common';
import { systemClock, type Clock } from '../core/clock';
import { decoding, inexactWarnings } from '../core/decoding';
import { EventsError } from '../core/errors';
import { isWildcard } from '../core/event-name';
import { EventService } from '../core/event-service';
import { JsonCodec } from '../core/json-codec';
import { steadyLogger, type EventsLogger } from '../core/logger';
import { stageOf, type EventMiddleware } from '../core/middleware';
import type { EventTransport } from '../core/transport';
import { Contracts, Correlation, validation } from '../middleware';
import { createMemoryTransport, type MemoryTransport } from '../transports/memory';
import { createNatsTransport } from '../transports/nats';
import type { EventsModuleOptions } from './options/options';
import { resolveOptions, type ResolvedOptions } from './options/resolve-options';
import type { TestSeam } from './test-seam';

/**
 * Joins the parts: the transport that the options select, and the stages in their fixed places, so that nobody can
 * order retry, validation and dead-lettering wrongly.
 * @param middleware the user's, in order
 * @param correlation what its emits inherit from, for those who tell it of what comes from outside
 * @param seam of a test, in the place of the transport that the options select
 */
export function assembleEventService(
  options: ResolvedOptions,
  middleware: readonly EventMiddleware[],
  ownLogger: EventsLogger,
  correlation = createCorrelation(options, ownLogger),
  seam?: TestSeam,
): { service: EventService; transport: EventTransport } {
  const logger = steadyLogger(ownLogger);
  const codec = new JsonCodec();
  const contracts = new Contracts(options.events, options.strict);
  const names = new Set(options.events.map(({ name }) => name));
  const transport =
    seam === undefined
      ? transportOf(options, logger)
      : seam.observe(memoryTransportOf(options, logger, seam.clock));
  const service = new EventService({
    transport,
    codec,
    ...(seam === undefined ? {} : { observers: [seam.outermost] }),
    stages: [
      correlation,
      decoding(codec, inexactWarnings(logger, names)),
      ...middleware.map(stageOf),
      validation(contracts),
      ...(seam === undefined ? [] : [seam.innermost]),
    ],
    defaults: {
      app: options.appName,
      delivery: options.delivery,
      retry: options.retry,
      concurrency: options.concurrency,
      timeout: options.handlerTimeout,
    },
    shutdownTimeout: options.shutdownTimeout,
    maxRedrives: options.maxRedrives,
    handling: () => correlation.handling,
    useContract: (contract) => contracts.use(contract),
    within: (event, run) => correlation.consume(event, run),
    pendingEmits: options.pendingEmits,
    publishTimeout: options.publishTimeout,
    consume: options.consume,
    onClosed: () => correlation.disable(),
    ...(seam === undefined ? {} : { clock: seam.clock }),
    ...(options.strict
      ? { assertKnown: contractRequired(new Set(options.events.map(({ name }) => name))) }
      : {}),
    logger,
  });
  return { service, transport };
}

export const createCorrelation = (options: ResolvedOptions, logger: EventsLogger): Correlation =>
  new Correlation({ supplied: options.correlationId, logger: steadyLogger(logger) });

/**
 * The event service without Nest's dependency injection, for scripts and other frameworks: connected and consuming.
 * End it with `drain()`. Takes the options of `EventsModule.register`; middleware as instances only.
 * @throws EventsConfigurationError, and the EventsErrors of a start-up (`docs/errors.md`)
 */
export async function createEventService(
  options: EventsModuleOptions,
  logger: EventsLogger = new Logger('Events'),
): Promise<EventService> {
  const resolved = resolveOptions(options);
  const middleware = resolved.middleware.map((each): EventMiddleware => {
    if (typeof each !== 'function') return each;
    throw new EventsError(
      'invalid_configuration',
      `createEventService takes instances of middleware, not the class ${each.name}`,
    );
  });
  const { service, transport } = assembleEventService(resolved, middleware, logger);
  await transport.connect();
  service.start();
  return service;
}

function transportOf(options: ResolvedOptions, logger: EventsLogger): EventTransport {
  if (options.transport !== undefined) return options.transport;
  if (options.transportKind === 'memory') return memoryTransportOf(options, logger);
  const { clusterId, delivery, stream } = options;
  return createNatsTransport({
    servers: options.servers,
    clusterId,
    app: options.appName,
    clientId: options.clientId,
    delivery,
    credentials: options.connection,
    connectTimeout: options.connectTimeout,
    publishTimeout: options.publishTimeout,
    manage: stream.manage,
    events: stream,
    deadLetters: stream.deadLetter,
    logger,
  });
}

function memoryTransportOf(
  { clusterId, delivery, stream, memoryName }: ResolvedOptions,
  logger: EventsLogger,
  clock: Clock = systemClock,
): MemoryTransport {
  const { maxAge, duplicateWindow } = stream.effective;
  return createMemoryTransport({
    clusterId,
    delivery,
    logger,
    clock,
    stream: { maxAge: maxAge === 0 ? Infinity : maxAge, duplicateWindow },
    ...(memoryName === undefined ? {} : { name: memoryName }),
  });
}

const contractRequired =
  (names: ReadonlySet<string>) =>
  (pattern: string, handler: string): void => {
    if (isWildcard(pattern) || names.has(pattern)) return;
    throw new EventsError(
      'unknown_event',
      `handler '${handler}' listens to '${pattern}', which has no contract in \`events\`, and \`strict\` is on`,
    );
  };
