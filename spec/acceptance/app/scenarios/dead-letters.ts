import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DeadLetterService, EventService, EventsModule, NonRetryableError, OnEvent } from '@venta/events';
import { deferred } from '../deferred.js';
import type { Scenario } from '../scenario.js';

@Injectable()
class Billing {
  readonly booked = deferred<number>();
  open = false;

  @OnEvent('invoice.paid', { name: 'book' })
  book({ number }: { number: number }): void {
    if (!this.open) throw new NonRetryableError('the year is closed');
    this.booked.resolve(number);
  }
}

@Module({ providers: [Billing] })
class AppModule {}

export const deadLetters: Scenario = {
  name: 'an event that cannot be handled is a dead letter, and can be sent back',
  async run(options) {
    const module = { module: AppModule, imports: [EventsModule.register(options)] };
    const app = await NestFactory.createApplicationContext(module, { logger: false });
    const letters = app.get(DeadLetterService);
    await app.get(EventService).emit('invoice.paid', { number: 7 });

    let letter = (await letters.list()).items[0];
    for (; letter === undefined; letter = (await letters.list()).items[0]) await new Promise(setImmediate);
    assert.equal(letter.event, 'invoice.paid');
    assert.equal(letter.reason, 'non_retryable');
    assert.deepEqual(letter.data(), { number: 7 });

    const billing = app.get(Billing);
    billing.open = true;
    const { redriven, refused } = await letters.redrive({ subscription: 'book' });
    assert.deepEqual([redriven, refused], [[letter.id], []]);
    assert.equal(await billing.booked.promise, 7);
    await app.close();
  },
};
