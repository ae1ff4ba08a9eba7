import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  defineEvent,
  EventService,
  EventsError,
  EventsModule,
  OnEvent,
  type EventContext,
  type EventsModuleOptions,
  type EventsOf,
} from '@venta/events';
import { z } from 'zod';
import { deferred } from '../deferred.js';
import type { Scenario } from '../scenario.js';

const events = [
  defineEvent('user.created', {
    schema: z.object({ userId: z.string(), age: z.string().transform(Number), timestamp: z.date() }),
  }),
  defineEvent('user.renamed', { schema: z.object({ userId: z.string(), name: z.string() }) }),
] as const;

type UserCreated = z.output<(typeof events)[0]['schema']>;

declare module '@venta/events' {
  interface EventMap extends EventsOf<typeof events> {
    'invoice.sent': { number: number };
    'invoice.paid': { number: number };
  }
}

@Injectable()
class Users {
  // Nest finds the service by the type of the parameter: the compiler's metadata name the class of the package.
  constructor(private readonly events: EventService) {}

  create(userId: string): Promise<unknown> {
    return this.events.emit('user.created', { userId, age: '36', timestamp: new Date(0) });
  }
}

@Injectable()
class Welcome {
  readonly greeted = deferred<{ event: UserCreated; context: EventContext }>();
  readonly seen = deferred<string>();

  @OnEvent('user.created')
  greet(event: UserCreated, context: EventContext): void {
    this.greeted.resolve({ event, context });
  }

  @OnEvent('user.*')
  note(event: UserCreated | { userId: string; name: string }): void {
    this.seen.resolve(event.userId);
  }
}

@Module({})
class AppModule {
  static with(options: EventsModuleOptions) {
    return {
      module: AppModule,
      imports: [EventsModule.register({ ...options, events, strict: true })],
      providers: [Users, Welcome],
    };
  }
}

export const contracts: Scenario = {
  name: 'a contract: data is checked, transformed, and its Date arrives as a Date',
  async run(options) {
    const app = await NestFactory.createApplicationContext(AppModule.with(options), { logger: false });
    await app.get(Users).create('user-1');
    const { event, context } = await app.get(Welcome).greeted.promise;
    assert.deepEqual(event, { userId: 'user-1', age: 36, timestamp: new Date(0) });
    assert.ok(event.timestamp instanceof Date);
    assert.equal(context.name, 'user.created');
    assert.equal(context.attempt, 1);
    assert.equal(await app.get(Welcome).seen.promise, 'user-1');

    // @ts-expect-error the contract says string
    const refused = app.get(EventService).emit('user.renamed', { userId: 'user-1', name: 5 });
    await assert.rejects(
      refused,
      (error) => error instanceof EventsError && error.code === 'validation_failed',
    );
    await app.close();
  },
};
