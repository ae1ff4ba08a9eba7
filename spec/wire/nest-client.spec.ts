import 'reflect-metadata';
import { type ClientProxy, ClientProxyFactory, NatsRecordBuilder, Transport } from '@nestjs/microservices';
import { headers as natsHeaders } from 'nats';
import { lastValueFrom } from 'rxjs';
import { onNats } from '../support/on-nats';

const nats = onNats();

const clients: ClientProxy[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

async function nestClient(): Promise<ClientProxy> {
  const client = ClientProxyFactory.create({
    transport: Transport.NATS,
    options: { servers: [nats.server.url] },
  });
  clients.push(client);
  await client.connect();
  return client;
}

const send = (client: ClientProxy, data: unknown): Promise<unknown> =>
  lastValueFrom(client.emit(nats.subject('user.created'), data), { defaultValue: undefined });

describe.each(['durable', 'ephemeral'] as const)("%s handlers, fed from Nest's own client,", (delivery) => {
  it('receive the data, and not the packet around it', async () => {
    const mail = await nats.service({ delivery });
    const received = await nats.collect(mail, 'user.created', undefined, { concurrency: 1 });
    const client = await nestClient();
    const values = [
      { userId: 7, name: 'Zoë' },
      { pattern: 'paisley', data: 1 },
      { pattern: nats.subject('user.created'), data: 'a packet in a packet' },
      [1, 2],
      'text',
      0,
      false,
    ];

    for (const value of values) await send(client, value);

    expect((await received.atLeast(values.length)).map(({ data }) => data)).toEqual(values);
  });

  it('receive its headers, and an id, a time and a source of their own making', async () => {
    const mail = await nats.service({ delivery });
    const received = await nats.collect(mail, 'user.*');
    const client = await nestClient();
    const before = Date.now();
    const headers = natsHeaders();
    headers.set('x-tenant', 'a');
    headers.set('x-correlation-id', 'case 1');

    const record = new NatsRecordBuilder({ userId: 7 }).setHeaders(headers).build();
    await send(client, record);
    const [item] = await received.atLeast(1);

    const { context, data } = item!;
    expect(data).toEqual({ userId: 7 });
    expect(context.name).toBe('user.created');
    expect(context.headers['x-tenant']).toBe('a');
    expect(context.correlationId).toBe('case 1');
    expect(context.id).not.toBe('');
    expect(context.source).toBe('unknown');
    expect(Math.abs(context.time.getTime() - before)).toBeLessThan(60_000);
  });

  it('receive the id of their own making at each attempt, and another one for each event', async () => {
    const mail = await nats.service({ delivery });
    const received = await nats.collect(
      mail,
      'user.*',
      () => {
        throw new Error('not yet');
      },
      { retry: { attempts: 1, delay: 0 } },
    );
    const client = await nestClient();
    await send(client, { userId: 7 });
    await send(client, { userId: 8 });
    const items = await received.atLeast(4);

    const idsOf = (user: number): string[] =>
      items.flatMap(({ data, context }) =>
        (data as { userId: number }).userId === user ? [context.id] : [],
      );
    for (const user of [7, 8]) {
      const [id] = idsOf(user);
      expect(idsOf(user)).toEqual([id, id]);
    }
    expect(idsOf(7)[0]).not.toBe(idsOf(8)[0]);
  });

  it('receive bare JSON of any client as it is', async () => {
    const mail = await nats.service({ delivery });
    const received = await nats.collect(mail, 'user.created', undefined, { concurrency: 1 });
    const client = await nats.client();
    const subject = nats.subject('user.created');
    const values = [
      { userId: 7 },
      { pattern: 'paisley' },
      { pattern: 'paisley', data: { userId: 7 } },
      { pattern: 'user.created', data: 1 },
      { pattern: subject, data: 1, colour: 'red' },
      { pattern: { cmd: 'x' }, data: 1 },
      { data: { userId: 7 } },
      { id: 1, data: 2 },
      [{ pattern: subject, data: 1 }],
      'text',
      0,
      null,
    ];

    for (const value of values) client.publish(subject, JSON.stringify(value));

    expect((await received.atLeast(values.length)).map(({ data }) => data)).toEqual(values);
  });

  it('receive data of a CloudEvent that looks like a packet as it is', async () => {
    const mail = await nats.service({ delivery });
    const received = await nats.collect(mail, 'user.created');
    const packet = { pattern: nats.subject('user.created'), data: 1 };

    await mail.emit('user.created', packet);

    expect((await received.atLeast(1))[0]!.data).toEqual(packet);
  });
});

describe("a durable handler, fed from Nest's own client,", () => {
  it('is tried again, and the packet is dead-lettered as it was', async () => {
    const mail = await nats.service();
    const received = await nats.collect(mail, 'user.created', () => {
      throw new Error('no');
    });
    const client = await nestClient();

    await send(client, { userId: 7 });
    const [letter] = await nats.deadLetters(1);

    const ids = received.items.map(({ context }) => context.id);
    expect(ids).toHaveLength(3);
    expect(new Set(ids).size).toBe(1);
    expect(JSON.parse(letter!.body.toString())).toEqual({
      pattern: nats.subject('user.created'),
      data: { userId: 7 },
    });
    expect(letter!.headers['Event-Failure-Reason']).toBe('attempts_exhausted');
  });
});
