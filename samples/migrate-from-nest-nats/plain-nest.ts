import type { INestMicroservice, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Transport, type MicroserviceOptions, type NatsOptions } from '@nestjs/microservices';
import { StderrLogger } from '../venta/stderr-logger';
import { servers } from './environment';

/** On stderr, since stdout tells the story. */
export const logger = new StderrLogger(process.argv.includes('--verbose'));

export const overNats = (queue: string, more: NatsOptions['options'] = {}): NatsOptions => ({
  transport: Transport.NATS,
  options: { servers, queue, ...more },
});

/** A microservice on Nest's own NATS transport. */
export async function plainService(module: Type, options: NatsOptions): Promise<INestMicroservice> {
  const app = await NestFactory.createMicroservice<MicroserviceOptions>(module, {
    ...options,
    logger,
  });
  await app.listen();
  await subscribed(app);
  return app;
}

/** Nest does not wait until the server knows the subscriptions, and this sample emits at once. */
export const subscribed = (app: INestMicroservice): Promise<void> =>
  app.unwrap<{ flush(): Promise<void> }>().flush();
