import 'reflect-metadata';
import { Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventService, EventsModule, OnEvent } from '@venta/events';
import * as testing from '@venta/events/testing';
import { expect, it } from 'vitest';

@Injectable()
class Greetings {
  readonly sent: string[] = [];

  // By token: what Vitest compiles with does not say the types of parameters at run time.
  constructor(@Inject(EventService) private readonly events: EventService) {}

  @OnEvent('user.created')
  greet({ name }: { name: string }): void {
    this.sent.push(name);
  }

  create(name: string): Promise<unknown> {
    return this.events.emit('user.created', { name });
  }
}

@Module({
  imports: [EventsModule.register({ appName: 'vitest', url: 'memory://' })],
  providers: [Greetings],
})
class AppModule {}

it('has both entries', () => {
  expect(typeof testing.transportConformance).toBe('function');
});

it('takes an event from emit to its handler', async () => {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
  const greetings = app.get(Greetings);
  await greetings.create('Ada');
  // Draining waits for handlers that run, not for events that wait: so wait for the event.
  for (; greetings.sent.length === 0; await new Promise(setImmediate));
  await app.close();
  expect(greetings.sent).toEqual(['Ada']);
});
