import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { NonRetryableError, type EventTransport } from '../../lib';
import type { EventsLogger } from '../../lib/core/logger';
import { createEventService } from '../../lib/nest';
import { createNatsTransport } from '../../lib/transports/nats';
import { eventually, Ledger, sleep } from '../support/fault-ledger';
import { Relay } from '../support/fault-relay';
import { fault } from '../support/fault-scene';

/** Milliseconds: the server's 30 s are too long for a test. */
const ACK_WAIT = 2000;

const transportOf = (
  { clusterId, log: logger }: { clusterId: string; log: EventsLogger },
  url: string,
): EventTransport =>
  createNatsTransport({ servers: [url], clusterId, app: 'app', logger, ackWait: ACK_WAIT });

fault('F12 a blocked event loop: a named warning, re-runs perhaps, nothing lost', async (scene, server) => {
  const { clusterId } = scene;
  const workerData = { app: 'app', clusterId, url: server.url, ackWait: ACK_WAIT };
  const thread = new Worker(path.join(__dirname, '../support/fault-thread.cjs'), { workerData });
  scene.atEnd(() => thread.terminate());
  const [messages, ledger] = [
    [] as { ready?: true; run?: string; log?: string; message?: string }[],
    new Ledger(),
  ];
  thread.on('message', (message: { run?: string }) => {
    messages.push(message);
    if (message.run !== undefined) ledger.handled.add(message.run);
  });
  await eventually('the thread consumes', () => messages.some(({ ready }) => ready));

  const emitter = await scene.service('emitter');
  await emitter.emit('thing', { block: 3 * ACK_WAIT }, { id: 'blocking' });
  for (let n = 0; n < 10; n++) await ledger.emit(emitter, 'thing', `e${n}`);
  await eventually('it blocks', () => ledger.handled.has('blocking'));

  await eventually('it is told', () =>
    messages.find(({ message }) => message?.startsWith('event_loop_blocked')),
  );
  await eventually('all are handled', () => ledger.lost().length === 0);
  await scene.settled('app__h');
  expect(await scene.deadLetters()).toEqual([]);
  thread.postMessage('end');
});

fault('F13 what waits behind a slow handler is kept alive: as many runs as events', async (scene, server) => {
  const ledger = new Ledger();
  const service = await scene.service('app', { transport: transportOf(scene, server.url) });
  // Quick ones first, after which it fetches many at once.
  const slow = ledger.handler((_data, { id }) => (id.startsWith('slow') ? sleep(400) : undefined));
  await service.subscribe('thing', slow, { name: 'h', concurrency: 1 });
  const signs = new Set<string>();
  (await scene.raw()).subscribe('$JS.ACK.>', {
    callback: (_error, msg) => {
      if (msg.string() === '+WPI') signs.add(msg.subject.split('.')[5] as string);
    },
  });
  const quick = Array.from({ length: 300 }, (_, n) => `quick-${n}`);
  const names = [...quick, ...Array.from({ length: 25 }, (_, n) => `slow-${n}`)];
  await Promise.all(names.map((id) => ledger.emit(service, 'thing', id)));

  await eventually('all are handled', () => ledger.lost().length === 0);
  await scene.settled('app__h');
  expect(ledger.reruns).toBe(0);
  expect(signs.size).toBeGreaterThan(10); // those at the end of 10 s of work
});

fault('F15 a crash between dead letter and term leaves exactly one dead letter', async (scene, server) => {
  const relay = await Relay.to(server.port);
  scene.atEnd(() => relay.stop());
  const ledger = new Ledger();
  const service = await scene.service('app', { transport: transportOf(scene, relay.url) });
  const poison = ledger.handler(() => {
    throw new NonRetryableError('poison');
  });
  await service.subscribe('thing', poison, { name: 'h' });
  // The dead letter is confirmed by then; the server never hears of the end.
  relay.cutsAt = (sent) => relay.cuts === 0 && sent.includes('+TERM');
  await ledger.emit(service, 'thing', 'e');

  await eventually('it is delivered again', () => ledger.runs.get('e')?.length === 2);
  expect(relay.cuts).toBe(1);
  await scene.settled('app__h');
  expect(await scene.deadLetters()).toEqual([expect.objectContaining({ id: 'e', reason: 'non_retryable' })]);
  expect(service.status.problems.filter((each) => !each.includes('new dead letters'))).toEqual([]);
});

class Hostile extends Error {
  override get message(): string {
    throw new Error('no message for you');
  }
}

const anyAccess = new Proxy(
  {},
  {
    get: () => {
      throw Object.create(null) as Error;
    },
  },
);
const everyTrap = new Proxy({}, new Proxy({}, { get: () => () => hostile(Object.create(null)) }));
const { proxy: revoked, revoke } = Proxy.revocable({}, {});
revoke();

function hostile(thrown: unknown): never {
  throw thrown;
}

const WEIRD: Record<string, unknown> = {
  undefined,
  null: null,
  number: NaN,
  symbol: Symbol('s'),
  bigint: 1n,
  bare: Object.create(null),
  hostile: new Hostile(),
  anyAccess,
  everyTrap,
  revoked,
};

fault('F27 whatever a handler or a middleware throws, only that event is affected', async (scene) => {
  const ledger = new Ledger();
  const weird = (id: string, where: string): void => {
    const [at, what] = id.split('-') as [string, string];
    if (at === where) hostile(WEIRD[what]);
  };
  const service = await scene.service('app', {
    retry: { attempts: 0 },
    middleware: [
      {
        consume: (context, next) => {
          weird(context.id, 'consume');
          return next();
        },
        publish: (event, next) => {
          weird(event.id, 'publish');
          return next();
        },
      },
    ],
  });
  await service.subscribe(
    'thing',
    ledger.handler((_data, { id }) => weird(id, 'handler')),
    { name: 'h' },
  );
  const lost = new Ledger();
  // Not even a promise: the sync throw of a plain function.
  await service.subscribe('thing', (_data, { id }) => weird(id, 'handler'), {
    name: 'e',
    delivery: 'ephemeral',
  });
  for (const what of Object.keys(WEIRD)) {
    for (const where of ['handler', 'consume', 'publish', 'fine']) {
      await (where === 'publish' ? lost : ledger).emit(service, 'thing', `${where}-${what}`);
    }
  }
  expect(lost.acknowledged.size).toBe(0);
  expect(ledger.refused.size).toBe(0);

  const fine = Object.keys(WEIRD).map((what) => `fine-${what}`);
  await eventually('the others are handled', () => fine.every((id) => ledger.handled.has(id)));
  expect(ledger.handled.size).toBe(fine.length);
  const failed = [...ledger.acknowledged.keys()].filter((id) => !fine.includes(id));
  await scene.settled('app__h');
  const dead = (await scene.deadLetters()).filter(({ subject }) => subject.includes('.app__h.'));
  expect(dead.map(({ id }) => id).sort()).toEqual(failed.sort());
  expect(service.status.connected).toBe(true);
  await ledger.emit(service, 'thing', 'afterwards');
  await eventually('events still arrive', () => ledger.handled.has('afterwards'));
});

fault('F27 a logger that throws takes no event with it', async (scene, server) => {
  const { clusterId } = scene;
  const fail = (): void => {
    throw new Error('the disk is full');
  };
  const logger: EventsLogger = { error: fail, warn: fail, log: fail, debug: fail };
  const transport = transportOf({ clusterId, log: logger }, server.url);
  const service = await createEventService({ appName: 'app', clusterId, transport }, logger);
  scene.atEnd(() => service.drain());
  const ledger = new Ledger();
  const flaky = ledger.handler((_data, { attempt }) => {
    if (attempt < 3) throw new Error('not yet');
  });
  await service.subscribe('thing', flaky, { name: 'h', retry: { delay: 50 } });
  // What is late is told as well.
  await service.subscribe('thing', () => sleep(200), { name: 'late', timeout: 20, retry: { attempts: 0 } });
  for (let n = 0; n < 10; n++) await ledger.emit(service, 'thing', `before-${n}`);
  // The connection speaks to the logger as well.
  await server.restart();
  await eventually('it is connected again', () => service.status.connected);
  for (let n = 0; n < 10; n++) await ledger.emit(service, 'thing', `after-${n}`);
  await eventually('all are handled', () => ledger.lost().length === 0);
  await scene.settled('app__h');
});
