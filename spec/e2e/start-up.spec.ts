import { Injectable, type OnApplicationBootstrap, type OnModuleInit, type Provider } from '@nestjs/common';
import { EventsError, EventService, OnEvent } from '@venta/events';
import { Collector, eventually } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';
import { freePort, NatsServer } from '../support/nats-server';
import { onNats } from '../support/on-nats';

const nats = onNats();
const { start, compile } = applications(() => ({ url: nats.server.url, clusterId: nats.clusterId }));

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('what happened')));

interface Connections {
  readonly connections: readonly { readonly name?: string }[];
}

/** Resolves when no application's connection is left at the server. */
async function noConnectionLeft(server = nats.server): Promise<void> {
  await eventually(
    async () => (await server.monitor<Connections>('/connz'))?.connections ?? [],
    (connections) => connections.every(({ name }) => name === undefined),
    (connections) => `there are connections of ${connections.map(({ name }) => name).join(', ')}`,
  );
}

/** Sockets and timers that would keep a process alive. */
const handles = (): string[] =>
  process.getActiveResourcesInfo().filter((each) => each === 'TCPSocketWrap' || each === 'Timeout');

const failureOf = (made: Promise<unknown>): Promise<EventsError> =>
  made.then(
    () => {
      throw new Error('it did not fail');
    },
    (error: EventsError) => error,
  );

const handlerOf = (patterns: string[], name?: string): Provider => {
  @Injectable()
  class Handlers {
    @OnEvent(patterns, { ...(name === undefined ? {} : { name }) })
    handle(event: unknown): void {
      received.add(event);
    }
  }
  return Handlers;
};

describe('an application that starts', () => {
  it('delivers nothing before all bootstrap hooks have completed, and misses nothing', async () => {
    @Injectable()
    class Slow implements OnModuleInit, OnApplicationBootstrap {
      constructor(private readonly events: EventService) {}
      async onModuleInit(): Promise<void> {
        await this.events.subscribe('job.*', (event) => received.add(['subscribed', event]));
        await this.events.emit('job.started', 1);
      }
      async onApplicationBootstrap(): Promise<void> {
        // Further round trips: what was delivered already would have arrived.
        for (let i = 0; i < 5; i++) await this.events.emit('other', i);
        received.add('bootstrapped');
      }
    }
    await start({ providers: [Slow, handlerOf(['job.started'])] });
    const [first, ...rest] = await received.atLeast(3);
    expect(first).toBe('bootstrapped');
    expect(rest).toEqual(expect.arrayContaining([1, ['subscribed', 1]]));
  });

  it('shows its client id at the server', async () => {
    await start({}, { appName: 'Job service' });
    await start({}, { appName: 'x', clientId: 'pod-7' });
    const { connections } = (await nats.server.monitor<Connections>('/connz')) as Connections;
    expect(connections.map(({ name }) => name).sort()).toEqual(['Job service', 'pod-7']);
  });

  it('starts several at once that race to create the streams and the durable', async () => {
    const apps = await Promise.all([1, 2, 3, 4].map(() => start({ providers: [handlerOf(['job.a'])] })));
    const data = Array.from({ length: 20 }, (_, i) => i);
    const services = apps.map((app) => app.get(EventService));
    await Promise.all(data.map((each) => (services[each % 4] as EventService).emit('job.a', each)));
    expect([...((await received.atLeast(20)) as number[])].sort((a, b) => a - b)).toEqual(data);
  });
});

describe('a start-up that fails', () => {
  let before: number;
  beforeEach(async () => {
    await noConnectionLeft();
    before = handles().length;
  });
  afterEach(async () => {
    await noConnectionLeft();
    await eventually(
      async () => handles(),
      (now) => now.length <= before,
      (now) => `there were ${before} handles and are ${now.length}: ${now.join(', ')}`,
    );
  });

  it.each<[string, Provider, string, RegExp]>([
    ['an invalid pattern', handlerOf(['job..a']), 'invalid_pattern', /handler 'Handlers\.handle'/],
    [
      'overlapping patterns',
      handlerOf(['job.a', 'job.*']),
      'invalid_pattern',
      /'job\.a' and 'job\.\*' overlap/,
    ],
  ])('for %s leaves no connection and no handle', async (_title, provider, code, message) => {
    const app = await compile({ providers: [handlerOf(['fine'], 'fine'), provider] });
    const error = await failureOf(app.init());
    expect(error).toBeInstanceOf(EventsError);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it('for two handlers of one identity leaves no connection and no handle', async () => {
    const app = await compile({ providers: [handlerOf(['a'], 'same'), handlerOf(['b'], 'same')] });
    const error = await failureOf(app.init());
    expect(error).toMatchObject({ code: 'invalid_configuration', option: 'name' });
  });

  it('for a stream that cannot hold the events leaves no connection and no handle', async () => {
    const manager = await (await nats.client({ name: undefined })).jetstreamManager();
    await manager.streams.add({ name: nats.clusterId, subjects: ['elsewhere.>'] });
    const error = await failureOf(compile({}));
    expect(error.code).toBe('stream_mismatch');
    expect(error.message).toContain(nats.clusterId);
    await manager.streams.delete(nats.clusterId);
    before += 10; // the plain client of this test is still open
  });

  it('in another module leaves a service that can be drained, after which nothing is left', async () => {
    @Injectable()
    class Broken implements OnModuleInit {
      onModuleInit(): void {
        throw new Error('the licence has expired');
      }
    }
    const app = await compile({ providers: [handlerOf(['job.a']), Broken] });
    await expect(app.init()).rejects.toThrow('the licence has expired');
    await app.get(EventService).drain();
  });

  it('for a server that is not there leaves no handle, and says what to look at', async () => {
    const url = `nats://127.0.0.1:${await freePort()}`;
    const error = await failureOf(compile({}, { url, connectTimeout: 300 }));
    expect(error).toMatchObject({ code: 'connection_failed', retryable: true });
    expect(error.message).toContain(url);
    expect(error.message).toContain('NATS_URL');
  });

  it('for a wrong password leaves no handle', async () => {
    const server = await NatsServer.start({ config: 'authorization { user: a, password: b }' });
    try {
      const error = await failureOf(
        compile({}, { url: server.url, connection: { user: 'a', pass: 'secret' }, connectTimeout: 300 }),
      );
      expect(error.code).toBe('connection_failed');
      expect(error.message).not.toContain('secret');
      await noConnectionLeft(server);
    } finally {
      await server.stop();
    }
  });

  it('for a server without JetStream leaves no connection and no handle', async () => {
    const server = await NatsServer.start({ jetstream: false });
    try {
      const error = await failureOf(compile({}, { url: server.url, connectTimeout: 500 }));
      expect(error.code).toBe('jetstream_unavailable');
      await noConnectionLeft(server);
    } finally {
      await server.stop();
    }
  });
});

it('ephemeral delivery needs no JetStream', async () => {
  const server = await NatsServer.start({ jetstream: false });
  try {
    const app = await start(
      { providers: [handlerOf(['job.a'])] },
      { url: server.url, delivery: 'ephemeral', connectTimeout: 1000 },
    );
    await expect(app.get(EventService).emit('job.a', 1)).resolves.toEqual({
      id: expect.any(String) as string,
      duplicate: false,
    });
    expect(await received.atLeast(1)).toEqual([1]);
    await app.close();
  } finally {
    await server.stop();
  }
});
