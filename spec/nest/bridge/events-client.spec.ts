import { Inject, Injectable, Module } from '@nestjs/common';
import { ClientsModule, type ClientProxy, NatsRecordBuilder } from '@nestjs/microservices';
import { EventsClient, EventService, type EmitReceipt } from '@venta/events';
import { headers as natsHeaders } from 'nats';
import { lastValueFrom } from 'rxjs';
import { eventually } from '../../../lib/testing/conformance/collector';
import { applications } from '../../support/applications';
import { sharedMemory } from '../../support/shared-memory';

const memory = sharedMemory();
const { start, compile, logger } = applications(() => ({ url: memory.url }));

const stored = (count: number): Promise<unknown> =>
  eventually(
    async () => memory.events().length,
    (length) => length >= count,
    (length) => `${length} of ${count} events are stored`,
  );

@Injectable()
class Users {
  constructor(@Inject('USERS') readonly client: ClientProxy) {}
}

async function client(): Promise<ClientProxy> {
  const app = await start({ providers: [Users, { provide: 'USERS', useExisting: EventsClient }] });
  return app.get(Users).client;
}

describe('EventsClient takes the place of a ClientProxy', () => {
  it('as an alias', async () => {
    const receipt = await lastValueFrom((await client()).emit<EmitReceipt>('user.created', { userId: 7 }));

    expect(receipt).toMatchObject({ duplicate: false, sequence: 1 });
    expect(memory.bodies()).toEqual([{ userId: 7 }]);
    expect(memory.events()[0]!.headers).toMatchObject({ 'ce-id': receipt.id, 'ce-type': 'user.created' });
  });

  it('by its own class', async () => {
    const app = await start({});
    await lastValueFrom(app.get(EventsClient).emit('user.created', 7));
    expect(memory.bodies()).toEqual([7]);
  });

  it('as a provider of another module', async () => {
    @Module({ providers: [Users, { provide: 'USERS', useClass: EventsClient }] })
    class UsersModule {}
    const app = await start({ imports: [UsersModule] });

    await lastValueFrom(app.get(Users, { strict: false }).client.emit('user.created', 7));

    expect(memory.bodies()).toEqual([7]);
  });

  it('as the custom class of ClientsModule, and lives as long as the events module', async () => {
    const clients = ClientsModule.registerAsync([
      {
        name: 'USERS',
        inject: [EventService],
        useFactory: (events: EventService) => ({ customClass: EventsClient, options: { events } }),
      },
    ]);
    const app = await start({ imports: [clients], providers: [Users] });
    const { client } = app.get(Users);

    await client.connect();
    await lastValueFrom(client.emit('user.created', 1));
    await client.close();
    await lastValueFrom(client.emit('user.created', 2));

    expect(memory.bodies()).toEqual([1, 2]);
    expect(client.unwrap()).toBe(app.get(EventService));
    await app.close();
    await expect(lastValueFrom(client.emit('user.created', 3))).rejects.toMatchObject({ code: 'closed' });
  });

  it('only if it is given the EventService', () => {
    for (const wrong of [undefined, {}, { events: {} }, { events: undefined }]) {
      expect(() => new EventsClient(wrong as never)).toThrow(
        expect.objectContaining({
          option: 'options.events',
          message: expect.stringMatching(/must be the EventService.*inject: \[EventService\]/) as string,
        }) as Error,
      );
    }
  });
});

describe('emit of EventsClient', () => {
  it('publishes although nobody subscribes', async () => {
    (await client()).emit('user.created', { userId: 7 });
    await stored(1);
    expect(memory.bodies()).toEqual([{ userId: 7 }]);
  });

  it('publishes once, and gives each subscriber the receipt, late ones too', async () => {
    const outcome = (await client()).emit<EmitReceipt>('user.created', { userId: 7 });

    const [first, second] = await Promise.all([lastValueFrom(outcome), lastValueFrom(outcome)]);
    const third = await lastValueFrom(outcome);

    expect(first).toMatchObject({ duplicate: false, sequence: 1 });
    expect([second, third]).toEqual([first, first]);
    expect(memory.events()).toHaveLength(1);
  });

  it('gives each subscriber the failure, late ones too, and logs nothing then', async () => {
    const emitting = await client();
    logger.clear();
    const outcome = emitting.emit('user.created', { total: 1n });

    for (const _each of [1, 2]) {
      await expect(lastValueFrom(outcome)).rejects.toMatchObject({ code: 'unserializable', path: '/total' });
    }

    expect(logger.entries.items).toEqual([]);
  });

  it('logs a failure that nobody has subscribed to, by name and id, and still gives it to those who come later', async () => {
    const outcome = (await client()).emit('user.created', { total: 1n });

    const { message } = await logger.until('error', /not emitted/);

    expect(message).toMatch(
      /^event "user\.created" [\da-f-]{36} was not emitted, and nobody waited for it: EventSerializationError: .*total/,
    );
    await expect(lastValueFrom(outcome)).rejects.toMatchObject({ code: 'unserializable' });
  });

  it.each<[string, unknown, RegExp]>([
    ['an object', { cmd: 'create' }, /by their name.*got a pattern of type object/],
    ['a number', 7, /got a pattern of type number/],
    ['nothing', undefined, /got a pattern of type undefined/],
    ['a wildcard', 'user.*', /user\.\*/],
  ])('refuses %s as a pattern', async (_title, pattern, message) => {
    const outcome = lastValueFrom((await client()).emit(pattern, {}));
    await expect(outcome).rejects.toMatchObject({
      code: 'invalid_event_name',
      message: expect.stringMatching(message) as string,
    });
  });

  it('takes null for data, as EventService does', async () => {
    await lastValueFrom((await client()).emit('user.created', null));
    expect(memory.bodies()).toEqual([null]);
  });

  it('works before the application has started, in the context of its caller', async () => {
    const app = await compile({ providers: [Users, { provide: 'USERS', useExisting: EventsClient }] });
    const { client } = app.get(Users);
    const emitted: Promise<unknown>[] = [];
    await app.get(EventService).subscribe('user.created', () => {
      emitted.push(lastValueFrom(client.emit('user.welcomed', 'welcome')));
    });

    await lastValueFrom(client.emit('user.created', 'Ada'));
    await app.init();
    await stored(2);
    await Promise.all(emitted);

    const [cause, effect] = memory.events().map(({ headers }) => headers);
    expect(effect).toMatchObject({
      'ce-correlationid': cause!['ce-id'],
      'ce-causationid': cause!['ce-id'],
    });
  });
});

describe('a NatsRecord that EventsClient emits', () => {
  const record = (given: Record<string, string>): NatsRecordBuilder<unknown> => {
    const headers = natsHeaders();
    for (const [key, value] of Object.entries(given)) headers.append(key, value);
    return new NatsRecordBuilder<unknown>({ userId: 7 }).setHeaders(headers);
  };

  it('becomes data and headers, and its x-correlation-id the correlation id', async () => {
    const headers = { 'x-tenant': 'a', 'x-correlation-id': 'case 7' };
    await lastValueFrom((await client()).emit('user.created', record(headers).build()));

    expect(memory.bodies()).toEqual([{ userId: 7 }]);
    expect(memory.events()[0]!.headers).toMatchObject({ ...headers, 'ce-correlationid': 'case%207' });
  });

  it('can have several values under one key, headers as an object, or none', async () => {
    const users = await client();
    const several = natsHeaders();
    several.append('x-tenant', 'a');
    several.append('x-tenant', 'b');

    await lastValueFrom(users.emit('user.created', new NatsRecordBuilder(1).setHeaders(several).build()));
    await lastValueFrom(
      users.emit('user.created', new NatsRecordBuilder(2).setHeaders({ 'x-tenant': 'c' }).build()),
    );
    await lastValueFrom(users.emit('user.created', new NatsRecordBuilder(3).build()));

    expect(memory.bodies()).toEqual([1, 2, 3]);
    expect(memory.events().map(({ headers }) => headers['x-tenant'])).toEqual(['a, b', 'c', undefined]);
  });

  it.each(['Nats-Msg-Id', 'ce-id', 'Event-Failure-Reason'])('cannot set %s', async (key) => {
    const outcome = lastValueFrom((await client()).emit('user.created', record({ [key]: '1' }).build()));
    await expect(outcome).rejects.toMatchObject({
      code: 'invalid_header',
      message: expect.stringContaining(`"${key}" is reserved`) as string,
    });
  });
});

describe('send of EventsClient', () => {
  it('fails, and says what to do', async () => {
    const answer = lastValueFrom((await client()).send('user.get', { userId: 7 }));
    await expect(answer).rejects.toMatchObject({
      code: 'request_unsupported',
      message: expect.stringMatching(
        /cannot send "user\.get".*ClientProxy of one of Nest's transports/,
      ) as string,
    });
    await expect(lastValueFrom((await client()).send({ cmd: 'x' }, null))).rejects.toMatchObject({
      code: 'request_unsupported',
    });
  });
});
