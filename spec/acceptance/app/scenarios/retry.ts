import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventService, EventsModule, OnEvent, RetryAfterError, type EventContext } from '@venta/events';
import { deferred } from '../deferred.js';
import type { Scenario } from '../scenario.js';

@Injectable()
class Billing {
  readonly attempts: number[] = [];
  readonly done = deferred();

  @OnEvent('invoice.sent', { retry: { attempts: 5, delay: 10, jitter: 0 } })
  async record(event: { number: number }, { attempt }: EventContext): Promise<void> {
    this.attempts.push(attempt);
    if (attempt === 1) throw new Error('the database is away');
    if (attempt === 2) throw new RetryAfterError(10);
    this.done.resolve();
  }
}

@Module({ providers: [Billing] })
class AppModule {}

export const retry: Scenario = {
  name: 'a handler that throws gets the event again',
  async run(options) {
    const module = {
      module: AppModule,
      imports: [EventsModule.registerAsync({ useFactory: () => options })],
    };
    const app = await NestFactory.createApplicationContext(module, { logger: false });
    await app.get(EventService).emit('invoice.sent', { number: 1 });
    const billing = app.get(Billing);
    await billing.done.promise;
    assert.deepEqual(billing.attempts, [1, 2, 3]);
    await app.close();
  },
};
