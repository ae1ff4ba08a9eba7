import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { createEventService, EventService, EventsModule, OnEvent, type EmitReceipt } from '@venta/events';
import { deferred } from '../deferred.js';
import type { Scenario } from '../scenario.js';

@Injectable()
class Slow {
  readonly started = deferred();
  readonly finish = deferred();
  receipt: EmitReceipt | undefined;

  constructor(private readonly events: EventService) {}

  @OnEvent('invoice.sent')
  async send({ number }: { number: number }): Promise<void> {
    this.started.resolve();
    await this.finish.promise;
    this.receipt = await this.events.emit('invoice.paid', { number });
  }
}

@Module({ providers: [Slow] })
class AppModule {}

export const shutdown: Scenario = {
  name: 'closing the application lets a running handler finish, and its emit is stored',
  async run(options) {
    const module = { module: AppModule, imports: [EventsModule.register(options)] };
    const app = await NestFactory.createApplicationContext(module, { logger: false });
    const slow = app.get(Slow);
    await app.get(EventService).emit('invoice.sent', { number: 9 });
    await slow.started.promise;
    const closed = app.close();
    while (app.get(EventService).status.state !== 'draining') await new Promise(setImmediate);
    slow.finish.resolve();
    await closed;
    assert.equal(app.get(EventService).status.state, 'closed');
    assert.equal(slow.receipt?.duplicate, false);

    const other = await createEventService({ ...options, appName: 'auditor' });
    const stored = deferred<number>();
    await other.subscribe('invoice.paid', ({ number }) => stored.resolve(number), { startFrom: 'first' });
    assert.equal(await stored.promise, 9);
    await other.drain();
  },
};
