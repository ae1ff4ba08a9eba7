import { Injectable } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { DeadLetterService, EventService, EventsModule, OnEvent } from '@venta/events';

/** The way a unit test of an application usually goes: what is injected is replaced, and nothing else is there. */
describe('an EventService that a test provides', () => {
  it('takes the place of the connection: where there is no server, there need be none', async () => {
    const fake = { emit: jest.fn(), deadLetters: {} };
    @Injectable()
    class Sales {
      constructor(readonly events: EventService) {}
    }
    const app = await Test.createTestingModule({
      imports: [EventsModule.register({ appName: 'shop', url: 'nats://127.0.0.1:1', connectTimeout: 200 })],
      providers: [Sales],
    })
      .overrideProvider(EventService)
      .useValue(fake)
      .compile();
    expect(app.get(Sales).events).toBe(fake);
    expect(app.get(DeadLetterService)).toBe(fake.deadLetters);
  });

  it('is what is started, and what is stopped', async () => {
    const calls: string[] = [];
    const fake = {
      emit: jest.fn(),
      bindAll: (handlers: unknown[]) => {
        calls.push(`bindAll ${handlers.length}`);
        return Promise.resolve([]);
      },
      start: () => calls.push('start'),
      reportOrphans: () => Promise.resolve(),
      drain: () => {
        calls.push('drain');
        return Promise.resolve();
      },
    };
    @Injectable()
    class Handlers {
      @OnEvent('user.created')
      handle(): void {}
    }
    const app = await Test.createTestingModule({
      imports: [EventsModule.register({ appName: 'shop', url: 'memory://' })],
      providers: [Handlers],
    })
      .overrideProvider(EventService)
      .useValue(fake)
      .compile();
    await app.init();
    await app.close();
    expect(calls).toEqual(['bindAll 1', 'start', 'drain']);
  });
});
