// The test kit in Vitest, as an ES module, without the decorator metadata that its compiler does not write.
import 'reflect-metadata';
import { Inject, Injectable, Module } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { EventService, EventsModule, OnEvent } from '@venta/events';
import { EventsTestingModule, TestEvents } from '@venta/events/testing';
import { afterEach, expect, it, vi } from 'vitest';

@Injectable()
class Welcome {
  failures = 0;

  constructor(@Inject(EventService) private readonly events: EventService) {}

  @OnEvent('user.created')
  async send({ userId }: { userId: string }): Promise<void> {
    if (this.failures-- > 0) throw new TypeError('mail server is down');
    await this.events.emit('mail.sent', { to: userId, at: new Date(0) });
  }
}

@Module({
  imports: [
    EventsModule.register({ appName: 'mail-service', url: 'nats://127.0.0.1:1', retry: { attempts: 2 } }),
  ],
  providers: [Welcome],
})
class MailModule {}

// Handlers fail on purpose.
const silent = { log: () => {}, warn: () => {}, error: () => {} };

let app: TestingModule | undefined;

async function start(kit: ReturnType<typeof EventsTestingModule.register>): Promise<TestEvents> {
  app = await Test.createTestingModule({ imports: [MailModule, kit] })
    .setLogger(silent)
    .compile();
  await app.init();
  return app.get(TestEvents);
}

afterEach(async () => {
  vi.useRealTimers();
  await app?.close();
});

it('an application on the memory transport settles', async () => {
  const events = await start(EventsTestingModule.override());
  await app?.get(EventService).emit('user.created', { userId: 'user-1' });
  await events.settled();
  expect(events.emitted('mail.sent')).toMatchObject([
    { data: { to: 'user-1', at: new Date(0) }, source: 'mail-service' },
  ]);
});

it('retries run without waiting', async () => {
  const events = await start(EventsTestingModule.override());
  if (app) app.get(Welcome).failures = Infinity;
  await app?.get(EventService).emit('user.created', { userId: 'user-1' });
  await events.advance(60_000);
  expect(events.failed('user.created').map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  expect(events.deadLettered('user.created')).toMatchObject([
    { type: 'TypeError', reason: 'attempts_exhausted' },
  ]);
});

it('every event can come twice', async () => {
  const events = await start(EventsTestingModule.override({ test: { duplicate: true } }));
  await app?.get(EventService).emit('user.created', { userId: 'user-1' });
  await events.settled();
  expect(events.handled('user.created').map(({ attempt }) => attempt)).toEqual([1, 2]);
  expect(events.emitted('mail.sent')).toHaveLength(2);
});

it('faked timers do not stop it', async () => {
  vi.useFakeTimers();
  const events = await start(EventsTestingModule.override());
  await app?.get(EventService).emit('user.created', { userId: 'user-1' });
  await events.settled();
  expect(events.emitted('mail.sent')).toHaveLength(1);
});
