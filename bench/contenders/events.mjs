/**
 * This package, with its defaults: `emit`, and a handler that `@OnEvent` marks and that reads all attributes. Options:
 * `delivery`; `inFlight`, emits at once; `handlers` of the event; `concurrency`; `padding`; `drain`.
 */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { createEventService, EventsModule, EventService, OnEvent } from '@venta/events';
import { connect } from 'nats';
import { EVENT_NAME, eventOf } from '../harness/event.mjs';
import { inFlight } from '../harness/in-flight.mjs';
import { BURSTS_IN_FLIGHT } from './bursts.mjs';
import { leftovers } from './stored-events.mjs';

export const dates = true;

const settings = ({ url, name, options }, appName) => ({
  appName,
  url,
  clusterId: name,
  delivery: options.delivery ?? 'durable',
  ...(options.concurrency ? { concurrency: options.concurrency } : {}),
});

export async function publisher(connection) {
  const { delivery, padding, inFlight: limit } = connection.options;
  const events = await createEventService({ ...settings(connection, 'bench-publisher'), consume: false });
  const emit = (index, more) => events.emit(EVENT_NAME, eventOf(index, { padding, ...more }));
  const atOnce = limit ?? (delivery === 'ephemeral' ? BURSTS_IN_FLIGHT : 256);
  return { publish: (count) => inFlight(count, atOnce, emit), emit, close: () => events.drain() };
}

export async function subscriber(connection, handled) {
  const { options, name, url } = connection;
  const handle = async (event, context) => {
    handled(event, context.id, context.correlationId, context.source, context.name, context.time);
  };
  const app = await NestFactory.createApplicationContext(moduleOf(connection, handle), {
    logger: ['warn', 'error'],
  });
  const side = { close: () => app.close() };
  if (options.delivery === 'ephemeral') return side;

  // Who checks is not who is checked.
  const observer = await connect({ servers: url });
  const jsm = await observer.jetstreamManager();
  const events = app.get(EventService);
  let subscription;
  Object.assign(side, {
    open: async () => (subscription = await events.subscribe(EVENT_NAME, handle)),
    shut: () => subscription.unsubscribe(),
    leftovers: () => leftovers(jsm, name),
    forget: () => jsm.streams.purge(name),
    close: async () => {
      await app.close();
      await observer.close();
    },
  });
  if (options.drain === true) {
    // The durable has to be there before what it is to find.
    await side.open();
    await side.shut();
  }
  return side;
}

function moduleOf(connection, handle) {
  class Handlers {}
  const count = connection.options.drain ? 0 : (connection.options.handlers ?? 1);
  for (let index = 0; index < count; index++) {
    const method = `handle${index}`;
    Object.defineProperty(Handlers.prototype, method, {
      value: (...args) => handle(...args),
      writable: true,
    });
    OnEvent(EVENT_NAME)(
      Handlers.prototype,
      method,
      Object.getOwnPropertyDescriptor(Handlers.prototype, method),
    );
  }
  class Application {}
  Module({
    imports: [EventsModule.register(settings(connection, 'bench-subscriber'))],
    providers: [Handlers],
  })(Application);
  return Application;
}
