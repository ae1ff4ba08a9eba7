import assert from 'node:assert/strict';
import { Inject, Injectable, Module, Scope } from '@nestjs/common';
import { NestFactory, REQUEST } from '@nestjs/core';
import { EventService, EventsModule, OnEvent, type EventContext } from '@venta/events';
import { deferred } from '../deferred.js';
import type { Scenario } from '../scenario.js';

interface Handled {
  readonly number: number;
  readonly handler: Invoices;
  readonly request: EventContext;
  readonly context: EventContext;
}

@Injectable()
class Ledger {
  readonly entries: Handled[] = [];
  readonly both = deferred();

  note(handled: Handled): void {
    if (this.entries.push(handled) === 2) this.both.resolve();
  }
}

@Injectable({ scope: Scope.REQUEST })
class Invoices {
  constructor(
    private readonly ledger: Ledger,
    @Inject(REQUEST) private readonly request: EventContext,
  ) {}

  @OnEvent('invoice.sent')
  sent({ number }: { number: number }, context: EventContext): void {
    this.ledger.note({ number, handler: this, request: this.request, context });
  }
}

@Module({ providers: [Ledger, Invoices] })
class AppModule {}

export const requestScope: Scenario = {
  name: 'a request-scoped handler is made for each event, and is given its context',
  async run(options) {
    const module = { module: AppModule, imports: [EventsModule.register({ ...options, concurrency: 1 })] };
    const app = await NestFactory.createApplicationContext(module, { logger: false });
    await app.get(EventService).emitMany([
      { name: 'invoice.sent', data: { number: 1 } },
      { name: 'invoice.sent', data: { number: 2 } },
    ]);
    const ledger = app.get(Ledger);
    await ledger.both.promise;
    const [first, second] = ledger.entries;
    assert.deepEqual(ledger.entries.map(({ number }) => number).sort(), [1, 2]);
    assert.notEqual(first?.handler, second?.handler);
    for (const { request, context } of ledger.entries) assert.equal(request.id, context.id);
    await app.close();
  },
};
