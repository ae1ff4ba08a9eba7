import { Injectable } from '@nestjs/common';
import { EventService, OnEvent, type EventMiddleware } from '@venta/events';
import { defer, type Observable } from 'rxjs';
import { Collector } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';
import { sharedMemory } from '../support/shared-memory';

const memory = sharedMemory();
const { start } = applications(() => ({ url: memory.url }));

describe('what a handler emits', () => {
  it.each<[string, Record<string, string>, Record<string, string>]>([
    [
      'inherits the trace of the event',
      { traceparent: '00-a', baggage: 'b' },
      { traceparent: '00-a', baggage: 'b' },
    ],
    [
      'goes out without trace headers that no event may have',
      { traceparent: '00-\x01', baggage: 'b' },
      { baggage: 'b' },
    ],
    [
      'goes out without baggage that fills its headers',
      { traceparent: '00-a', baggage: 'x'.repeat(14_000) },
      { traceparent: '00-a' },
    ],
  ])('%s', async (_title, headers, expected) => {
    const emitted = new Collector<unknown>('outcomes of emits');
    @Injectable()
    class Chain {
      constructor(private readonly events: EventService) {}
      @OnEvent('user.created')
      async next(): Promise<void> {
        const outcome = this.events.emit('user.welcomed', 1, { headers: { own: 'x'.repeat(1_000) } });
        emitted.add(await outcome.then(() => 'stored', String));
      }
    }
    await start({ providers: [Chain] });

    await memory.publishRaw('user.created', '{}', headers);

    expect(await emitted.atLeast(1)).toEqual(['stored']);
    const { traceparent, baggage } = memory.events().at(-1)!.headers;
    const inherited = Object.entries({ traceparent, baggage }).filter(([, value]) => value !== undefined);
    expect(Object.fromEntries(inherited)).toEqual(expected);
  });
});

describe('what the Observable of a handler emits', () => {
  const passing: EventMiddleware = { consume: (_context, next) => next() };

  it.each<[string, EventMiddleware[]]>([
    ['', []],
    [', inside of middleware', [passing]],
  ])('follows from the event, whether it came at once or later%s', async (_title, middleware) => {
    @Injectable()
    class Chain {
      constructor(private readonly events: EventService) {}
      @OnEvent('user.created')
      atOnce(): Observable<unknown> {
        return defer(() => this.events.emit('user.welcomed', 1));
      }
      @OnEvent('user.created')
      async later(): Promise<Observable<unknown>> {
        await new Promise((resolve) => setImmediate(resolve));
        return defer(() => this.events.emit('user.welcomed', 2));
      }
    }
    const app = await start({ providers: [Chain] }, { middleware });
    const welcomed = new Collector<unknown>('what was emitted');
    const events = app.get(EventService);
    await events.subscribe('user.welcomed', (_data, { correlationId, causationId }) =>
      welcomed.add([correlationId, causationId]),
    );
    await events.emit('user.created', 1, { id: 'cause', correlationId: 'request' });
    expect(await welcomed.atLeast(2)).toEqual([
      ['request', 'cause'],
      ['request', 'cause'],
    ]);
  });
});
