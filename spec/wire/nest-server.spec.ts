import 'reflect-metadata';
import { Controller, type INestMicroservice, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  Ctx,
  EventPattern,
  MessagePattern,
  type MicroserviceOptions,
  NatsContext,
  Payload,
  Transport,
} from '@nestjs/microservices';
import type { MsgHdrs } from 'nats';
import { Collector } from '../../lib/testing/conformance/collector';
import { onNats } from '../support/on-nats';

const nats = onNats();

interface Read {
  readonly data: unknown;
  readonly subject: string;
  readonly headers: MsgHdrs;
}

const services: INestMicroservice[] = [];
afterEach(async () => {
  for (const service of services.splice(0)) await service.close();
});

/** A service that knows nothing of this package. */
async function plainNestService(decorator: (pattern: string) => MethodDecorator): Promise<Collector<Read>> {
  const read = new Collector<Read>('what the plain Nest service read', ({ data }) => JSON.stringify(data));

  @Controller()
  class Users {
    @decorator(nats.subject('user.created'))
    created(@Payload() data: unknown, @Ctx() context: NatsContext): string {
      read.add({ data, subject: context.getSubject(), headers: context.getHeaders() as MsgHdrs });
      return 'an answer';
    }
  }
  @Module({ controllers: [Users] })
  class UsersModule {}

  const service = await NestFactory.createMicroservice<MicroserviceOptions>(UsersModule, {
    transport: Transport.NATS,
    options: { servers: [nats.server.url] },
    logger: false,
  });
  services.push(service);
  await service.listen();
  // Nest does not wait until the server knows its subscriptions.
  await service.unwrap<{ flush(): Promise<void> }>().flush();
  return read;
}

describe('a plain Nest service with @EventPattern', () => {
  it('reads what emit sends, and its attributes in the headers', async () => {
    const read = await plainNestService(EventPattern);
    const shop = await nats.service({ appName: 'Web Shop' });

    const receipt = await shop.emit(
      'user.created',
      { userId: 7, name: 'Zoë', at: new Date(0), nested: { list: [1, null] } },
      {
        id: 'user 1',
        time: new Date(1),
        headers: {
          'x-tenant': 'Łódź',
          traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        },
      },
    );
    const [{ data, subject, headers }] = (await read.atLeast(1)) as [Read];

    expect(data).toEqual({
      userId: 7,
      name: 'Zoë',
      at: '1970-01-01T00:00:00.000Z',
      nested: { list: [1, null] },
    });
    expect(subject).toBe(nats.subject('user.created'));
    const named = [
      'ce-specversion',
      'ce-id',
      'ce-source',
      'ce-type',
      'ce-time',
      'ce-correlationid',
      'content-type',
      'x-tenant',
      'traceparent',
    ].map((key) => [key, headers.get(key)]);
    expect(Object.fromEntries(named)).toEqual({
      'ce-specversion': '1.0',
      'ce-id': 'user%201',
      'ce-source': 'Web-Shop',
      'ce-type': 'user.created',
      'ce-time': '1970-01-01T00:00:00.001Z',
      'ce-correlationid': 'user%201',
      'content-type': 'application/json',
      'x-tenant': 'Łódź',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    });
    expect(receipt).toEqual({ id: 'user 1', duplicate: false, stream: nats.clusterId, sequence: 1 });
  });

  it('reads every kind of data', async () => {
    const read = await plainNestService(EventPattern);
    const shop = await nats.service();
    const values = [{}, [], 'text', '', 7, 0, true, false, null, { id: 'its own id' }, [{ pattern: 1 }]];

    for (const value of values) await shop.emit('user.created', value);

    expect((await read.atLeast(values.length)).map(({ data }) => data)).toEqual(values);
  });

  it('reads what emit sends with ephemeral delivery', async () => {
    const read = await plainNestService(EventPattern);
    const shop = await nats.service({ delivery: 'ephemeral' });

    await shop.emit('user.created', { userId: 7 }, { id: '1' });
    const [{ data, headers }] = (await read.atLeast(1)) as [Read];

    expect(data).toEqual({ userId: 7 });
    expect(headers.get('ce-id')).toBe('1');
  });
});

describe('a plain Nest service that answers', () => {
  it.each([
    ['@EventPattern', EventPattern],
    ['@MessagePattern', MessagePattern],
  ])('with %s, does not confirm an emit: only the event stream does', async (_title, decorator) => {
    const read = await plainNestService(decorator);
    const shop = await nats.service();
    const client = await nats.client();
    const answers = new Collector<string>('answers into the inbox of the emit');
    client.subscribe('_INBOX.>', { callback: (_error, msg) => answers.add(msg.string()) });
    await client.flush();

    // To Nest this looks like a request, because it has `data` and `id`.
    const receipt = await shop.emit('user.created', { id: 7, data: { userId: 7 } });
    await read.atLeast(1);
    await answers.until((all) => all.some((answer) => answer.includes('an answer')), "Nest's answer");

    expect(receipt).toEqual({ id: receipt.id, duplicate: false, stream: nats.clusterId, sequence: 1 });
    expect(await shop.emit('user.created', { userId: 8 })).toMatchObject({
      stream: nats.clusterId,
      sequence: 2,
    });
    expect(shop.status.problems).toEqual([]);
  });
});
