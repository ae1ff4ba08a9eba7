/** What the parts cost by themselves, in this process: microseconds per call, in turns. */
import 'reflect-metadata';
import { Injectable, Module, UseInterceptors } from '@nestjs/common';
import { ExternalContextCreator, NestFactory } from '@nestjs/core';
import { createEventService, defineEvent, EventsModule, OnEvent } from '@venta/events';
import { z } from 'zod';
import { JsonCodec } from '../../dist/core/json-codec.js';
import { decodeHeaders, encodeHeaders } from '../../dist/transports/nats/header-block.js';
import { EVENT_NAME, eventOf } from '../harness/event.mjs';
import { monotonic } from '../harness/monotonic.mjs';
import { told } from '../harness/told.mjs';

const { turns, milliseconds, only } = JSON.parse(process.argv[2]);

/** Keeps the last event that is published, and hands one event out as often as it is asked to. */
class Loopback {
  consumers = new Map();
  async connect() {}
  async publish(message) {
    this.last = message;
    return { duplicate: false };
  }
  async subscribe({ handler }, consumer) {
    this.consumers.set(handler, consumer);
    return { start() {}, limit() {}, async stop() {} };
  }
  status() {
    return { connected: true, problems: [] };
  }
  async close() {}

  /** As a broker delivers it, its headers read anew. */
  async deliver(handler, { name, body, block }) {
    let headers;
    const delivery = {
      subject: `events.${name}`,
      name,
      body,
      attempt: 1,
      storedAt: 0,
      fallbackId: '1',
      get headers() {
        return (headers ??= decodeHeaders(block));
      },
    };
    const { kind } = await this.consumers.get(handler)(delivery);
    if (kind !== 'ack') throw new Error(`${handler} did not handle the event: ${kind}`);
  }
}

const PassThrough = decorated(
  class PassThrough {
    intercept(_context, next) {
      return next.handle();
    }
  },
);

const transport = new Loopback();
const schema = z.object({
  number: z.number(),
  userId: z.string(),
  email: z.email(),
  name: z.object({ first: z.string(), last: z.string() }),
  roles: z.array(z.string()),
  timestamp: z.date(),
  verified: z.boolean(),
});
const app = await NestFactory.createApplicationContext(application(transport), { logger: ['warn', 'error'] });
const validated = new Loopback();
const contracts = [defineEvent(EVENT_NAME, { schema })];
const strict = await createEventService({ appName: 'bench', transport: validated, events: contracts });
await strict.subscribe(EVENT_NAME, async () => {}, { name: 'validated' });
const emitted = new Loopback();
const events = await createEventService({ appName: 'bench', transport: emitted });

const codec = new JsonCodec();
const data = eventOf(1);
const undated = { ...data, timestamp: data.timestamp.toISOString() };
const encoded = codec.encode(data);
await events.emit(EVENT_NAME, data);
const headers = { ...emitted.last.headers, 'Nats-Msg-Id': emitted.last.messageId };
const block = encodeHeaders(headers);
const { name, body } = emitted.last;
const stored = { name, body, block };

const handlers = app.get('Handlers');
const creator = app.get(ExternalContextCreator);
const nest = (method) =>
  creator.create(handlers, handlers[method], method, '', undefined, undefined, undefined, undefined, 'event');
const [nestPlain, nestIntercepted] = [nest('plain'), nest('intercepted')];

const PARTS = {
  'JSON.stringify alone': () => void JSON.stringify(data),
  'codec: encode, one Date': () => void codec.encode(data),
  'codec: encode, no Date': () => void codec.encode(undated),
  'codec: decode, one Date': () => void codec.decode(encoded.body, encoded.datePaths),
  'codec: decode, no Date': () => void codec.decode(encoded.body, undefined),
  'header block: build': () => void encodeHeaders(headers),
  'header block: parse': () => void decodeHeaders(block),
  'emit on a transport that does nothing': () => events.emit(EVENT_NAME, data),
  'emit with a zod contract': () => strict.emit(EVENT_NAME, data),
  'handling, plain method': () => transport.deliver('Handlers.plain', stored),
  'handling, one interceptor': () => transport.deliver('Handlers.intercepted', stored),
  'handling with a zod contract': () => validated.deliver('validated', stored),
  'zod alone': () => void schema.parse(data),
  "Nest's ExternalContextCreator, plain method": () => nestPlain(data, {}),
  "Nest's ExternalContextCreator, one interceptor": () => nestIntercepted(data, {}),
};

const chosen = Object.entries(PARTS).filter(([part]) => only === undefined || only.includes(part));
const measured = Object.fromEntries(chosen.map(([part]) => [part, []]));
const batches = new Map();
for (const [part, run] of chosen) {
  await timed(run, 20_000); // warm
  batches.set(part, Math.max(20, Math.round((milliseconds * 1e3) / (await timed(run, 2_000)))));
}
for (let turn = 0; turn < turns; turn++) {
  for (const [part, run] of turn % 2 === 0 ? chosen : [...chosen].reverse()) {
    measured[part].push(await timed(run, batches.get(part)));
  }
}
await told({ measured });
await app.close();
await strict.drain();
await events.drain();
process.disconnect();

async function timed(run, count) {
  const start = monotonic();
  for (let i = 0; i < count; i++) {
    const pending = run();
    if (pending !== undefined) await pending;
  }
  return (monotonic() - start) / count;
}

function application(transport) {
  const Handlers = decorated(
    class Handlers {
      async plain() {}
      async intercepted() {}
    },
  );
  const descriptorOf = (method) => Object.getOwnPropertyDescriptor(Handlers.prototype, method);
  for (const method of ['plain', 'intercepted']) {
    OnEvent(EVENT_NAME)(Handlers.prototype, method, descriptorOf(method));
  }
  UseInterceptors(PassThrough)(Handlers.prototype, 'intercepted', descriptorOf('intercepted'));
  const Root = class {};
  Module({
    imports: [EventsModule.register({ appName: 'bench', transport })],
    providers: [PassThrough, Handlers, { provide: 'Handlers', useExisting: Handlers }],
  })(Root);
  return Root;
}

function decorated(type) {
  Injectable()(type);
  return type;
}
