import 'reflect-metadata';
import { Controller, type INestMicroservice, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  type ClientProxy,
  ClientProxyFactory,
  Ctx,
  EventPattern,
  MessagePattern,
  type MicroserviceOptions,
  NatsContext,
  Payload,
  Transport,
} from '@nestjs/microservices';
import { EventsDeserializer } from '@venta/events';
import { lastValueFrom } from 'rxjs';
import { Collector } from '../../lib/testing/conformance/collector';
import { onNats } from '../support/on-nats';

const nats = onNats();

interface Read {
  readonly data: unknown;
  readonly subject: string;
}

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A service that uses Nest's transport, and of this package only the deserializer. */
async function plainNestService(pattern = nats.subject('user.created')): Promise<Collector<Read>> {
  const read = new Collector<Read>('what the plain Nest service read', ({ data }) => JSON.stringify(data));

  @Controller()
  class Users {
    @EventPattern(pattern)
    event(@Payload() data: unknown, @Ctx() context: NatsContext): void {
      read.add({ data, subject: context.getSubject() });
    }
    @MessagePattern('user.get')
    request(data: unknown): unknown {
      return { got: data };
    }
    @EventPattern('user.seen')
    foreign(@Payload() data: unknown, @Ctx() context: NatsContext): void {
      read.add({ data, subject: context.getSubject() });
    }
  }
  @Module({ controllers: [Users] })
  class UsersModule {}

  const service: INestMicroservice = await NestFactory.createMicroservice<MicroserviceOptions>(UsersModule, {
    transport: Transport.NATS,
    options: {
      servers: [nats.server.url],
      deserializer: new EventsDeserializer({ clusterId: nats.clusterId }),
    },
    logger: false,
  });
  closing.push(() => service.close());
  await service.listen();
  // Nest does not wait until the server knows its subscriptions.
  await service.unwrap<{ flush(): Promise<void> }>().flush();
  return read;
}

async function nestClient(): Promise<ClientProxy> {
  const options = { servers: [nats.server.url] };
  const client = ClientProxyFactory.create({ transport: Transport.NATS, options });
  closing.push(() => client.close());
  await client.connect();
  return client;
}

const lookingLikePackets = (): unknown[] => [
  { pattern: 'paisley' },
  { data: { userId: 7 } },
  { data: 1, id: 7 },
  { pattern: 'paisley', data: 1 },
  { pattern: 'user.created', data: 1 },
  { pattern: nats.subject('user.created'), data: 1, id: 'a', colour: 'red' },
  { pattern: { cmd: 'x' }, data: 1, id: 'a' },
  { id: 1 },
  {},
  [],
  'text',
  '',
  0,
  false,
  null,
];

describe('a plain Nest service with the deserializer', () => {
  it.each(['durable', 'ephemeral'] as const)(
    'reads %s events, and what looks like a packet of Nest as it is',
    async (delivery) => {
      const read = await plainNestService();
      const shop = await nats.service({ delivery });
      const values = lookingLikePackets();

      for (const value of values) await shop.emit('user.created', value);

      expect((await read.atLeast(values.length)).map(({ data }) => data)).toEqual(values);
    },
  );

  it('reads durable events whose data is a packet of Nest, to the letter', async () => {
    const read = await plainNestService();
    const shop = await nats.service();
    const packet = { pattern: nats.subject('user.created'), data: 1 };
    const request = { ...packet, id: 'a' };

    await shop.emit('user.created', packet);
    await shop.emit('user.created', request);

    expect((await read.atLeast(2)).map(({ data }) => data)).toEqual([packet, request]);
  });

  it.each([
    ['its subject', 'user.created'],
    ['a wildcard', 'user.*'],
    ['all', '>'],
  ])('reads what a ClientProxy emits into the cluster, subscribed to %s', async (_title, pattern) => {
    const read = await plainNestService(nats.subject(pattern));
    const client = await nestClient();
    const values = [{ userId: 7 }, { pattern: 'paisley', data: 1 }, 'text', 0, [1]];

    for (const value of values) await lastValueFrom(client.emit(nats.subject('user.created'), value));

    const subject = nats.subject('user.created');
    expect(await read.atLeast(values.length)).toEqual(values.map((data) => ({ data, subject })));
  });

  it('reads packets of Nest on other subjects as Nest does: events, requests, and what is none', async () => {
    const read = await plainNestService();
    const [client, other] = [await nestClient(), await nats.client()];

    await lastValueFrom(client.emit('user.seen', { pattern: 'paisley', data: 1 }));
    other.publish('user.seen', JSON.stringify({ userId: 7 }));

    expect(await lastValueFrom(client.send('user.get', { userId: 7 }))).toEqual({ got: { userId: 7 } });
    const all = await read.until((items) => items.length >= 2, 'two of them');
    expect(all.map(({ data }) => data)).toEqual(
      expect.arrayContaining([{ pattern: 'paisley', data: 1 }, { userId: 7 }]),
    );
  });

  it('is not ended by a body that is no JSON, and reads it as text', async () => {
    const read = await plainNestService();
    const client = await nats.client();

    client.publish(nats.subject('user.created'), 'no json');
    client.publish(nats.subject('user.created'));
    client.publish(nats.subject('user.created'), '{"userId":7}');

    expect((await read.atLeast(3)).map(({ data }) => data)).toEqual(['no json', '', { userId: 7 }]);
  });
});
