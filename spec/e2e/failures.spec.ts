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
import { headers as natsHeaders } from 'nats';
import { z } from 'zod';
import { Collector } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';
import { onNats } from '../support/on-nats';

const nats = onNats();
const { start, logger } = applications(() => ({
  url: nats.server.url,
  clusterId: nats.clusterId,
  retry: { delay: 20, jitter: 0 },
}));

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('attempts')));

function jobs(
  run: (context: EventContext, event: unknown) => unknown,
  options: OnEventOptions = {},
): Provider {
  @Injectable()
  class Jobs {
    @OnEvent('job.started', options)
    async handle(event: unknown, context: EventContext): Promise<void> {
      received.add(context.attempt);
      await run(context, event);
    }
  }
  return Jobs;
}

describe('a handler that fails on JetStream', () => {
  it('gets the event again, after the delay of the policy, until it succeeds', async () => {
    const moments: number[] = [];
    const app = await start({
      providers: [
        jobs(
          ({ attempt }) => {
            moments.push(performance.now());
            if (attempt < 4) throw new Error('not yet');
          },
          { retry: { delay: 50, backoff: 'exponential', jitter: 0 } },
        ),
      ],
    });
    await app.get(EventService).emit('job.started', 1);
    expect(await received.atLeast(4)).toEqual([1, 2, 3, 4]);
    await nats.settled('shop__Jobs-handle');
    const [first = 0, second = 0, third = 0, fourth = 0] = moments;
    // The server counts in steps of its own; never early by more than a few milliseconds.
    expect(second - first).toBeGreaterThanOrEqual(45);
    expect(third - second).toBeGreaterThanOrEqual(95);
    expect(fourth - third).toBeGreaterThanOrEqual(195);
    expect(await nats.deadLetters(0)).toEqual([]);
  });

  it('leaves the event as a dead letter when its attempts are used up; other handlers are untouched', async () => {
    @Injectable()
    class Sound {
      @OnEvent('job.started')
      handle(event: unknown): void {
        received.add(event);
      }
    }
    const broken = jobs(
      () => {
        throw new TypeError('no');
      },
      { retry: { attempts: 2 } },
    );
    const app = await start({ providers: [broken, Sound] }, { appName: 'Job Service' });
    await app.get(EventService).emit('job.started', { at: new Date(1) }, { id: 'job 1' });
    const [letter] = await nats.deadLetters(1);
    expect(letter?.subject).toMatch(
      new RegExp(`^${nats.clusterId}-dlq\\.Job-Service__Jobs-handle\\.1-\\d+\\.job\\.started$`),
    );
    expect(letter?.headers).toMatchObject({
      'ce-id': 'job%201',
      'Event-Failure-Reason': 'attempts_exhausted',
      'Event-Failure-Type': 'TypeError',
      'Event-Failure-Message': 'no',
      'Event-Failure-Attempts': '3',
      'Event-Origin-Stream': nats.clusterId,
      'Event-Origin-Sequence': '1',
      'Event-Origin-App': 'Job Service',
      'Event-Origin-Handler': 'Jobs.handle',
    });
    expect(letter?.body.toString()).toBe('{"at":"1970-01-01T00:00:00.001Z"}');
    await nats.settled('Job-Service__Jobs-handle');
    await nats.settled('Job-Service__Sound-handle');
    expect(received.items.filter((each) => typeof each === 'object')).toEqual([{ at: new Date(1) }]);
    expect(received.items.filter((each) => typeof each === 'number')).toEqual([1, 2, 3]);
  });

  it('decides with NonRetryableError and RetryAfterError', async () => {
    const app = await start({
      providers: [
        jobs(({ attempt }) => {
          if (attempt === 1) throw new RetryAfterError(30);
          throw new NonRetryableError('never');
        }),
      ],
    });
    await app.get(EventService).emit('job.started', 1);
    const [letter] = await nats.deadLetters(1);
    expect(received.items).toEqual([1, 2]);
    expect(letter?.headers).toMatchObject({ 'Event-Failure-Reason': 'non_retryable' });
    await logger.until('warn', /next attempt in 30 ms/);
  });

  it('runs out of time: its signal is aborted and the event comes again', async () => {
    const reasons: unknown[] = [];
    const app = await start({
      providers: [
        jobs(
          ({ attempt, signal }) => {
            if (attempt > 1) return undefined;
            return new Promise<void>((resolve) =>
              signal.addEventListener('abort', () => {
                reasons.push((signal.reason as { code: string }).code);
                resolve();
              }),
            );
          },
          { timeout: 50 },
        ),
      ],
    });
    await app.get(EventService).emit('job.started', 1);
    expect(await received.atLeast(2)).toEqual([1, 2]);
    expect(reasons).toEqual(['handler_timeout']);
    await logger.until('warn', /finished 'job\.started' .* after its timeout; ignored/);
    await nats.settled('shop__Jobs-handle');
  });

  it('never runs for a foreign event that its contract refuses, or that cannot be read', async () => {
    const events = [defineEvent('job.started', { schema: z.object({ n: z.number() }) })];
    const app = await start({ providers: [jobs(() => undefined)] }, { events });
    const client = await nats.client();
    const attributes = natsHeaders();
    attributes.set('ce-specversion', '1.0');
    attributes.set('ce-id', 'foreign');
    client.publish(nats.subject('job.started'), '{"n":"one"}', { headers: attributes });
    client.publish(nats.subject('job.started'), '{"n":', { headers: attributes });
    const letters = await nats.deadLetters(2);
    await app.get(EventService).emit('job.started', { n: 1 });
    expect(await received.atLeast(1)).toEqual([1]);
    expect(letters.map(({ headers }) => headers['Event-Failure-Reason']).sort()).toEqual([
      'undecodable',
      'validation',
    ]);
    expect(letters.map(({ body }) => body.toString()).sort()).toEqual(['{"n":', '{"n":"one"}']);
  });

  it('is kept alive at the server while it runs long', async () => {
    const client = await nats.client();
    const working = new Collector<string>('heartbeats');
    client.subscribe('$JS.ACK.>', {
      callback: (_error, message) => {
        if (message.string() === '+WPI') working.add(message.subject);
      },
    });
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => (finish = resolve));
    const app = await start({ providers: [jobs(() => finished)] });
    await app.get(EventService).emit('job.started', 1);
    await received.atLeast(1);
    const [subject] = await working.atLeast(1); // after a third of the acknowledgement wait
    expect(subject).toContain(`.${nats.clusterId}.shop__Jobs-handle.`);
    finish();
    await nats.settled('shop__Jobs-handle');
    expect(received.items).toEqual([1]);
  });
});

describe('a handler that fails with ephemeral delivery', () => {
  it('gets the event again in this process, and then it is a dead letter where there is a stream for it', async () => {
    await start({}, { appName: 'durable' }); // makes the streams
    const app = await start(
      {
        providers: [
          jobs(
            () => {
              throw new Error('no');
            },
            { retry: { attempts: 2 } },
          ),
        ],
      },
      { delivery: 'ephemeral' },
    );
    await app.get(EventService).emit('job.started', 'lost?');
    const [letter] = await nats.deadLetters(1);
    expect(received.items).toEqual([1, 2, 3]);
    expect(letter?.body.toString()).toBe('"lost?"');
    expect(letter?.headers).toMatchObject({ 'Event-Failure-Reason': 'attempts_exhausted' });
  });

  it('is logged as an error, never silent, where there is none', async () => {
    const app = await start(
      {
        providers: [
          jobs(
            () => {
              throw new Error('no');
            },
            { retry: { attempts: 0 } },
          ),
        ],
      },
      { delivery: 'ephemeral' },
    );
    await app.get(EventService).emit('job.started', 'hunter2');
    await logger.until('error', /'job\.started'.*Jobs\.handle.*Error: no/);
    expect(logger.text).not.toContain('hunter2');
  });
});
