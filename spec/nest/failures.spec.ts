import { Injectable, type Provider } from '@nestjs/common';
import {
  defineEvent,
  EventService,
  NonRetryableError,
  OnEvent,
  RetryAfterError,
  type EventContext,
  type OnEventOptions,
} from '@venta/events';
import { z } from 'zod';
import { Collector } from '../../lib/testing/conformance/collector';
import { Gate } from '../../lib/testing/conformance/gate';
import { applications } from '../support/applications';
import { sharedMemory } from '../support/shared-memory';

const memory = sharedMemory();
const { start, logger } = applications(() => ({ url: memory.url }));

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('attempts')));

function jobs(
  run: (event: unknown, context: EventContext) => unknown,
  options: OnEventOptions = {},
): Provider {
  @Injectable()
  class Jobs {
    @OnEvent('job.started', options)
    handle(event: unknown, context: EventContext): unknown {
      received.add(context.attempt);
      return run(event, context);
    }
  }
  return Jobs;
}

const fail = (error: unknown) => (): never => {
  throw error;
};

describe('a handler that fails', () => {
  it('gets the event again until it succeeds', async () => {
    const app = await start({
      providers: [
        jobs((_, { attempt }) => {
          if (attempt < 4) throw new Error('not yet');
        }),
      ],
    });
    await app.get(EventService).emit('job.started', 1);
    expect(await received.atLeast(4)).toEqual([1, 2, 3, 4]);
    await app.close();
    await expect(memory.deadLetters(0)).resolves.toEqual([]);
  });

  it.each<[string, unknown, string, string]>([
    ['an Error', new TypeError('no'), 'TypeError', 'no'],
    ['a text', 'just text', 'string', 'just text'],
    ['nothing', undefined, 'undefined', 'undefined'],
    ['an object', { status: 500 }, 'object', '{"status":500}'],
    ['an object without end', Object.assign(Object.create(null) as object, { big: 1n }), 'object', 'shown'],
  ])('by throwing %s leaves the event as a dead letter, complete', async (_title, thrown, type, message) => {
    const app = await start({ providers: [jobs(fail(thrown), { retry: { attempts: 1 } })] });
    await app
      .get(EventService)
      .emit('job.started', { at: new Date(1) }, { id: 'job 1', headers: { 'X-Own': 'own' } });
    const [letter] = await memory.deadLetters(1);
    expect(received.items).toEqual([1, 2]);
    expect(letter?.subject).toMatch(/^events-dlq\.shop__Jobs-handle\.1-\d+\.job\.started$/);
    expect(JSON.parse(Buffer.from(letter?.body ?? []).toString())).toEqual({
      at: '1970-01-01T00:00:00.001Z',
    });
    expect(letter?.headers).toMatchObject({
      'ce-id': 'job%201',
      'ce-type': 'job.started',
      'ce-datepaths': '#/at',
      'X-Own': 'own',
      'Event-Failure-Reason': 'attempts_exhausted',
      'Event-Failure-Type': type,
      'Event-Failure-Message': expect.stringContaining(message) as string,
      'Event-Failure-Attempts': '2',
      'Event-Origin-Stream': 'events',
      'Event-Origin-Sequence': '1',
      'Event-Origin-Subject': 'events.job.started',
      'Event-Origin-Durable': 'shop__Jobs-handle',
      'Event-Origin-App': 'shop',
      'Event-Origin-Handler': 'Jobs.handle',
    });
  });

  it('by throwing synchronously and by rejecting is the same', async () => {
    const app = await start({
      providers: [jobs(() => Promise.reject(new Error('async')), { retry: { attempts: 0 } })],
    });
    await app.get(EventService).emit('job.started', 1);
    const [letter] = await memory.deadLetters(1);
    expect(letter?.headers).toMatchObject({ 'Event-Failure-Message': 'async' });
  });

  it('with NonRetryableError makes a dead letter at once', async () => {
    const app = await start({ providers: [jobs(fail(new NonRetryableError('no such account')))] });
    await app.get(EventService).emit('job.started', 1);
    const [letter] = await memory.deadLetters(1);
    expect(letter?.headers).toMatchObject({
      'Event-Failure-Reason': 'non_retryable',
      'Event-Failure-Message': 'no such account',
    });
    expect(received.items).toEqual([1]);
  });

  it('with RetryAfterError chooses when the event comes again', async () => {
    const moments: number[] = [];
    const app = await start({
      providers: [
        jobs(
          (_, { attempt }) => {
            moments.push(performance.now());
            if (attempt === 1) throw new RetryAfterError(80);
          },
          { retry: { delay: 1 } },
        ),
      ],
    });
    await app.get(EventService).emit('job.started', 1);
    await received.atLeast(2);
    // A timer can fire a millisecond early.
    expect((moments[1] ?? 0) - (moments[0] ?? 0)).toBeGreaterThanOrEqual(79);
    expect((await logger.until('warn', /next attempt in 80 ms/)).message).toContain('Jobs.handle');
  });

  it('with RetryAfterError counts as failed attempts: at last the event is a dead letter', async () => {
    const app = await start({
      providers: [jobs(fail(new RetryAfterError(1, 'busy')), { retry: { attempts: 2 } })],
    });
    await app.get(EventService).emit('job.started', 1);
    const [letter] = await memory.deadLetters(1);
    expect(received.items).toEqual([1, 2, 3]);
    expect(letter?.headers).toMatchObject({
      'Event-Failure-Reason': 'attempts_exhausted',
      'Event-Failure-Type': 'RetryAfterError',
      'Event-Failure-Message': 'busy',
    });
  });

  it('neither blocks nor repeats another handler of the event', async () => {
    @Injectable()
    class Two {
      @OnEvent('job.started', { concurrency: 1, retry: { attempts: 3 } })
      broken(): never {
        throw new Error('no');
      }
      @OnEvent('job.started', { concurrency: 1 })
      sound(event: unknown): void {
        received.add(event);
      }
    }
    const app = await start({ providers: [Two] });
    for (const data of [1, 2, 3]) await app.get(EventService).emit('job.started', data);
    await memory.deadLetters(3);
    expect(received.items).toEqual([1, 2, 3]);
  });

  it('is a dead letter when the body cannot be read, without running the handler', async () => {
    await start({ providers: [jobs(() => undefined)] });
    await memory.publishRaw('job.started', '{"broken":', { 'ce-specversion': '1.0' });
    await memory.publishRaw('job.started', '1');
    const [letter] = await memory.deadLetters(1);
    expect(letter?.headers).toMatchObject({ 'Event-Failure-Reason': 'undecodable' });
    expect(await received.atLeast(1)).toEqual([1]);
  });
});

describe('a handler that does not finish in time', () => {
  it('is retried, and what it still does is ignored and logged', async () => {
    const late = [new Gate(), new Gate()];
    const aborted: boolean[] = [];
    const app = await start({
      providers: [
        jobs(
          async (_: unknown, { attempt, signal }) => {
            if (attempt > 2) return;
            await late[attempt - 1]?.opened;
            aborted.push(signal.aborted);
            if (attempt === 2) throw new NonRetryableError('too late to matter');
          },
          { timeout: 100 },
        ),
      ],
    });
    await app.get(EventService).emit('job.started', { secret: 'x' }, { id: 'job-1' });
    expect(await received.atLeast(3)).toEqual([1, 2, 3]);
    expect(aborted).toEqual([]);

    for (const gate of late) gate.open();
    await logger.until(
      'warn',
      /Jobs\.handle' finished 'job\.started' \(id job-1\) after its timeout; ignored/,
    );
    await logger.until('warn', /Jobs\.handle' failed 'job\.started' \(id job-1\) after its timeout; ignored/);
    expect(aborted).toEqual([true, true]);
    expect(app.get(EventService).status.subscriptions).toMatchObject([
      { running: 0, succeeded: 1, retried: 2, deadLettered: 0 },
    ]);
    await expect(memory.deadLetters(0)).resolves.toEqual([]);
  });

  it('frees its slot for the next event', async () => {
    const done = new Collector<unknown>('done');
    const app = await start({
      providers: [
        jobs((event: unknown) => (event === 'hangs' ? new Promise(() => undefined) : done.add(event)), {
          timeout: 10,
          concurrency: 1,
          retry: { attempts: 0 },
        }),
      ],
    });
    await app.get(EventService).emit('job.started', 'hangs');
    await app.get(EventService).emit('job.started', 'works');
    expect(await done.atLeast(1)).toEqual(['works']);
  });

  it('does not keep the signal of an attempt that finished waiting to be aborted', async () => {
    let signal: AbortSignal | undefined;
    const app = await start({
      providers: [jobs((_, context) => void (signal = context.signal), { timeout: 5 })],
    });
    await app.get(EventService).emit('job.started', 1);
    await received.atLeast(1);
    await app.close();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(signal?.aborted).toBe(false);
  });
});

describe('what is logged', () => {
  it('a failing handler is never silent: each attempt says event, handler, error, and what comes next', async () => {
    const app = await start({ providers: [jobs(fail(new TypeError('no db')), { retry: { attempts: 1 } })] });
    await app.get(EventService).emit('job.started', 1, { id: 'job-1', correlationId: 'order-7' });
    const retried = await logger.until('warn', /next attempt in 1 ms/);
    const given = await logger.until('error', /becomes a dead letter \(attempts_exhausted\)/);
    for (const { message } of [retried, given]) {
      for (const part of ["'job.started'", 'job-1', 'order-7', 'Jobs.handle', 'TypeError: no db']) {
        expect(message).toContain(part);
      }
      expect(message).toContain('failures.spec.ts'); // the stack
    }
    expect(retried.message).toContain('attempt 1');
    expect(given.message).toContain('attempt 2');
  });

  it('contains no payload, whatever happens to the event', async () => {
    const secret = 'hunter2';
    const events = [
      defineEvent('user.checked', { schema: z.object({ password: z.string().max(3) }) }),
      defineEvent('job.started', { schema: z.object({ password: z.string() }) }),
    ];
    @Injectable()
    class Checked {
      @OnEvent('user.checked')
      handle(): void {}
      @OnEvent('user.unreadable')
      unreadable(): void {}
    }
    const app = await start(
      {
        providers: [
          Checked,
          jobs(
            async (_: unknown, { attempt, signal }) => {
              if (attempt === 1) await new Promise((resolve) => signal.addEventListener('abort', resolve));
              if (attempt === 2) throw new Error('no');
              throw new NonRetryableError('never');
            },
            { timeout: 10 },
          ),
        ],
      },
      { events },
    );
    await app.get(EventService).emit('job.started', { password: secret }, { headers: { 'X-Key': secret } });
    await memory.publishRaw('user.checked', JSON.stringify({ password: secret }));
    await memory.publishRaw('user.unreadable', `{"password":"${secret}"`);
    await memory.deadLetters(3);
    await logger.until('warn', /after its timeout/);
    expect(logger.entries.items.length).toBeGreaterThanOrEqual(5);
    expect(logger.text).not.toContain(secret);
  });

  it('is nothing at all while all goes well', async () => {
    const app = await start({ providers: [jobs(() => undefined)] });
    await app.get(EventService).emit('job.started', 1);
    await received.atLeast(1);
    await app.close();
    expect(logger.entries.items.filter(({ level }) => level !== 'debug' && level !== 'log')).toEqual([]);
  });
});
