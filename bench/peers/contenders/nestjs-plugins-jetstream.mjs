/** @nestjs-plugins/nestjs-nats-jetstream-transport: a push consumer, acknowledged by the handler. */
import 'reflect-metadata';
import {
  NatsJetStreamClientProxy,
  NatsJetStreamRecordBuilder,
  NatsJetStreamServer,
} from '@nestjs-plugins/nestjs-nats-jetstream-transport';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import { connect } from 'nats';
import { randomUUID } from 'node:crypto';
import { lastValueFrom } from 'rxjs';
import { handOver } from '../../contenders/raw-headers.mjs';
import { leftovers, streamConfig } from '../../contenders/stored-events.mjs';
import { EVENT_NAME, eventOf } from '../../harness/event.mjs';
import { inFlight } from '../../harness/in-flight.mjs';
import { attributesOf } from './attributes.mjs';

export async function publisher({ url, name }) {
  const client = new NatsJetStreamClientProxy({ connectionOptions: { servers: url, name: 'bench' } });
  await client.connect();
  const emit = (index, more) => {
    const id = randomUUID();
    const builder = new NatsJetStreamRecordBuilder(eventOf(index, more));
    builder.setMsgId(id);
    for (const [key, value] of Object.entries(attributesOf(EVENT_NAME, id))) builder.appendHeader(key, value);
    return lastValueFrom(client.emit(`${name}.${EVENT_NAME}`, builder.build()));
  };
  return { publish: (count) => inFlight(count, 256, emit), emit, close: () => client.close() };
}

export async function subscriber({ url, name }, handled) {
  class Handlers {
    async handle(event, context) {
      handOver(handled, event, context.message.headers);
      context.message.ack();
    }
  }
  const method = [Handlers.prototype, 'handle'];
  Reflect.defineMetadata('design:paramtypes', [Object, Object], ...method);
  Payload()(...method, 0);
  Ctx()(...method, 1);
  EventPattern(`${name}.${EVENT_NAME}`)(...method, Object.getOwnPropertyDescriptor(...method));
  Controller()(Handlers);
  class Application {}
  Module({ controllers: [Handlers] })(Application);

  const observer = await connect({ servers: url });
  const jsm = await observer.jetstreamManager();
  const strategy = new NatsJetStreamServer({
    connectionOptions: { servers: url, name: 'bench' },
    consumerOptions: {
      deliverGroup: 'bench',
      durable: 'bench',
      deliverTo: 'bench',
      manualAck: true,
      ackPolicy: 'Explicit',
      maxAckPending: 50_000,
    },
    streamConfig: streamConfig(name),
  });
  const app = await NestFactory.createMicroservice(Application, { strategy, logger: ['warn', 'error'] });
  await app.listen();
  return {
    leftovers: () => leftovers(jsm, name),
    forget: () => jsm.streams.purge(name),
    close: async () => {
      await app.close();
      await observer.close();
    },
  };
}
