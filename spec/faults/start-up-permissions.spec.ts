import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  EventsError,
  EventsModule,
  NonRetryableError,
  OnEvent,
  type EventsModuleOptions,
  type EventService,
} from '@venta/events';
import { eventually } from '../../lib/testing/conformance/collector';
import { failing, untilConnected } from '../support/leftovers';
import { onNats } from '../support/on-nats';

/** One user a case: what it may not publish to, and not subscribe to. */
const DENIED: Readonly<Record<string, { publish?: string; subscribe?: string }>> = {
  anything: {},
  streamInfo: { publish: '$JS.API.STREAM.INFO.>' },
  streamCreate: { publish: '$JS.API.STREAM.CREATE.>' },
  consumerList: { publish: '$JS.API.CONSUMER.LIST.>' },
  consumerCreate: { publish: '$JS.API.CONSUMER.CREATE.>' },
  next: { publish: '$JS.API.CONSUMER.MSG.NEXT.>' },
  ack: { publish: '$JS.ACK.>' },
  inbox: { subscribe: '_INBOX.>' },
  event: { publish: '*.user.created' },
  listen: { subscribe: '*.user.created' },
  listenToAny: { subscribe: '*.user.>' },
  deadLetter: { publish: '*.*.*.user.created' },
  streamChanges: { publish: '$JS.API.STREAM.*.>' },
};

const configOf = (denied: typeof DENIED): string => {
  const users = Object.entries(denied).map(
    ([user, { publish, subscribe }]) =>
      `{ user: ${user}, password: secret, permissions: {
        publish: { deny: [${publish === undefined ? '' : JSON.stringify(publish)}] }
        subscribe: { deny: [${subscribe === undefined ? '' : JSON.stringify(subscribe)}] }
      } }`,
  );
  // Somebody without a name makes what the restricted ones may not make.
  return `authorization { users: [${users.join(',')}, { user: admin, password: admin }] }
    no_auth_user: admin`;
};

const nats = onNats({ config: configOf(DENIED) });

const as = (user: string): Partial<EventsModuleOptions> => ({
  appName: `${user}Service`,
  connection: { user, pass: 'secret' },
  connectTimeout: 2000,
});

const nothing = (): void => {};

describe('F24 start-up is denied', () => {
  it.each([
    ['streamInfo', '$JS.API.STREAM.INFO.C'],
    ['streamCreate', '$JS.API.STREAM.CREATE.C'],
  ])('without the permission %s, naming it', async (user, subject) => {
    const error = await failing(() => nats.service(as(user)));

    expect(error).toMatchObject({ code: 'permission_denied', retryable: false });
    expect((error as EventsError).message.replaceAll(nats.clusterId, 'C')).toContain(subject);
    await untilConnected(nats.server, []);
  });

  it('without the permission to hear the answers to its requests, naming it', async () => {
    const before = Date.now();
    const error = await failing(() => nats.service(as('inbox')));

    expect(error).toMatchObject({ code: 'permission_denied', retryable: false });
    expect((error as EventsError).message).toContain('_INBOX.inboxService');
    expect(Date.now() - before).toBeLessThan(2000);
  });

  it.each([
    ['consumerList', '$JS.API.CONSUMER.LIST.C'],
    ['consumerCreate', '$JS.API.CONSUMER.CREATE.C.consumerCreateService__user-created'],
    ['next', '$JS.API.CONSUMER.MSG.NEXT.C.nextService__user-created'],
    ['ack', '$JS.ACK.C.ackService__user-created'],
  ])('to a durable handler without the permission %s, naming it', async (user, subject) => {
    const service = await nats.service(as(user));

    const error: unknown = await service
      .subscribe('user.created', nothing)
      .catch((reason: unknown) => reason);

    expect(error).toMatchObject({ code: 'permission_denied', retryable: false });
    expect((error as EventsError).message.replaceAll(nats.clusterId, 'C')).toContain(subject);
    expect(service.status.subscriptions).toEqual([]);
  });

  it.each([
    ['listen', 'user.created', {}],
    ['listen', 'user.created', { broadcast: true }],
    ['listenToAny', 'user.*', {}],
    ['listenToAny', 'user.>', { broadcast: true }],
  ])(
    'to an ephemeral handler without the permission %s (%s, %j), naming it',
    async (user, pattern, options) => {
      const service = await nats.service({ ...as(user), delivery: 'ephemeral' });

      const error: unknown = await service
        .subscribe(pattern, nothing, options)
        .catch((reason: unknown) => reason);

      expect(error).toMatchObject({ code: 'permission_denied', retryable: false });
      expect((error as EventsError).message).toContain(nats.subject(pattern));
      expect(service.status.subscriptions).toEqual([]);
      expect(service.status.problems.join()).toContain(nats.subject(pattern));
      // What it may listen to still works.
      const received = await nats.collect(service, 'order.placed');
      await service.emit('order.placed', 1);
      await received.atLeast(1);
    },
  );

  it('to a Nest application whose handler may not consume, and nothing is left behind', async () => {
    @Injectable()
    class Users {
      @OnEvent('user.created')
      created(): void {}
    }
    @Module({
      imports: [
        EventsModule.register({
          ...as('next'),
          url: nats.server.url,
          clusterId: nats.clusterId,
        }),
      ],
      providers: [Users],
    })
    class AppModule {}

    const error = await failing(async () => {
      const app = await Test.createTestingModule({ imports: [AppModule] })
        .setLogger(nats.logger)
        .compile();
      await app.init();
    });

    expect(error).toMatchObject({ code: 'permission_denied' });
    expect((error as EventsError).message).toContain('$JS.API.CONSUMER.MSG.NEXT');
    await untilConnected(nats.server, []);
  });
});

describe('F24 without the permission to publish an event', () => {
  it.each(['durable', 'ephemeral'] as const)(
    'emit rejects at once, and health shows it (%s)',
    async (delivery) => {
      const service = await nats.service({ ...as('event'), delivery });

      const before = Date.now();
      const results = await Promise.allSettled([
        service.emit('user.created', 1),
        service.emit('user.deleted', 2),
        service.emit('user.created', 3),
      ]);

      expect(
        results.map((result) =>
          result.status === 'rejected' ? (result.reason as EventsError).code : 'sent',
        ),
      ).toEqual(['permission_denied', 'sent', 'permission_denied']);
      const [refused] = results;
      expect((refused as PromiseRejectedResult).reason).toMatchObject({ retryable: false });
      expect(String((refused as PromiseRejectedResult).reason)).toContain(nats.subject('user.created'));
      expect(Date.now() - before).toBeLessThan(2000);
      expect(service.status.connected).toBe(true);
      expect(service.status.problems.join()).toContain(nats.subject('user.created'));
      expect(nats.logger.text).not.toContain('secret');
    },
  );
});

it.each(['durable', 'ephemeral'] as const)(
  'F24 not one of many emits passes for sent (%s)',
  async (delivery) => {
    const service = await nats.service({ ...as('event'), delivery });

    const emits: Promise<string>[] = [];
    for (let i = 0; i < 500; i++) {
      emits.push(
        service.emit('user.created', i).then(
          () => 'sent',
          (reason: unknown) => (reason as EventsError).code,
        ),
      );
      // At every moment between the refusal of the one before and the end of its emit.
      if (i % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
      else await Promise.resolve();
    }

    expect(new Set(await Promise.all(emits))).toEqual(new Set(['permission_denied']));
  },
);

it('F24 a dead letter that may not be written leaves the event where it is, and health shows it', async () => {
  const service = await nats.service(as('deadLetter'));
  await service.subscribe('user.created', () => {
    throw new NonRetryableError('no');
  });

  await service.emit('user.created', 1);
  await nats.logger.until('error', /could not be dead-lettered/);

  expect(service.status.problems.join()).toContain('dead letter');
  const { consumers } = await (await nats.client()).jetstreamManager();
  const { ack_floor: floor } = await consumers.info(nats.clusterId, 'deadLetterService__user-created');
  expect(floor.stream_seq).toBe(0);
  expect(await nats.stored(`${nats.clusterId}-dlq`)).toEqual([]);
});

describe('a service with no more permissions than it needs', () => {
  const works = async (service: EventService): Promise<void> => {
    const received = await nats.collect(service, 'user.created');
    await service.emit('user.created', 1);
    await received.atLeast(1);
    expect(service.status.problems).toEqual([]);
  };

  it('works', async () => {
    await works(await nats.service(as('anything')));
  });

  it('uses streams that somebody else has made, with manage: false, without the right to make any', async () => {
    await nats.service({ appName: 'admin' });

    await works(await nats.service({ ...as('streamCreate'), stream: { manage: false } }));
  });
});

it.each(['durable', 'ephemeral'] as const)(
  'F24 a permission that is given while the service runs is used, and the problem is gone (%s)',
  async (delivery) => {
    const service = await nats.service({ ...as('event'), delivery });
    await expect(service.emit('user.created', 1)).rejects.toMatchObject({ code: 'permission_denied' });

    await nats.server.reload(configOf({ ...DENIED, event: {} }));
    try {
      await eventually(
        () =>
          service.emit('user.created', 2).then(
            () => '',
            (reason: unknown) => String(reason),
          ),
        (failure) => failure === '',
        (failure) => `emit still fails: ${failure}`,
      );
      expect(service.status).toMatchObject({ connected: true, problems: [] });
    } finally {
      await nats.server.reload(configOf(DENIED));
    }
  },
);
