/** @golevelup/nestjs-rabbitmq: a durable queue, persistent messages, publisher confirms, 100 prefetched. */
import 'reflect-metadata';
import { AmqpConnection, RabbitMQModule, RabbitSubscribe } from '@golevelup/nestjs-rabbitmq';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EVENT_NAME, eventOf } from '../../harness/event.mjs';
import { inFlight } from '../../harness/in-flight.mjs';
import { attributesOf, handOverWith } from './attributes.mjs';

async function application({ url, name }, providers) {
  class Application {}
  Module({
    imports: [
      RabbitMQModule.forRoot({
        uri: url,
        exchanges: [{ name, type: 'topic', options: { durable: true } }],
        prefetchCount: 100,
        connectionInitOptions: { wait: true, timeout: 20_000 },
      }),
    ],
    providers,
  })(Application);
  const app = await NestFactory.createApplicationContext(Application, { logger: ['warn', 'error'] });
  return { app, connection: app.get(AmqpConnection) };
}

export async function publisher(connection) {
  const { app, connection: amqp } = await application(connection, []);
  const emit = (index, more) => {
    const headers = attributesOf(EVENT_NAME);
    const options = { persistent: true, messageId: headers['ce-id'], headers };
    return amqp.publish(connection.name, EVENT_NAME, eventOf(index, more), options);
  };
  return { publish: (count) => inFlight(count, 256, emit), emit, close: () => app.close() };
}

export async function subscriber(connection, handled) {
  const { name } = connection;
  class Handlers {
    async handle(event, message) {
      handOverWith(handled, event, message.properties.headers);
    }
  }
  const method = [Handlers.prototype, 'handle'];
  RabbitSubscribe({ exchange: name, routingKey: EVENT_NAME, queue: name, queueOptions: { durable: true } })(
    ...method,
    Object.getOwnPropertyDescriptor(...method),
  );
  Injectable()(Handlers);
  const { app, connection: amqp } = await application(connection, [Handlers]);
  return {
    async leftovers() {
      const { messageCount } = await amqp.channel.checkQueue(name);
      return messageCount === 0 ? undefined : `${messageCount} messages are in the queue`;
    },
    close: () => app.close(),
  };
}
