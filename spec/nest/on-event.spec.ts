import { Injectable, type Provider } from '@nestjs/common';
import {
  EventsConfigurationError,
  EventService,
  OnEvent,
  type EventContext,
  type OnEventOptions,
} from '@venta/events';
import { Collector } from '../../lib/testing/conformance/collector';
import { Gate } from '../../lib/testing/conformance/gate';
import { applications } from '../support/applications';
import { sharedMemory } from '../support/shared-memory';

const memory = sharedMemory();
const { start, compile } = applications(() => ({ url: memory.url }));

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('received events')));

/** A handler of `job.*` with these options, which tells what it gets and then does `work`. */
function jobs(
  options: OnEventOptions,
  work: (data: unknown, context: EventContext) => unknown = () => {},
): Provider {
  @Injectable()
  class Jobs {
    @OnEvent(['job.a', 'job.b'], options)
    async run(data: unknown, context: EventContext): Promise<void> {
      received.add(data);
      await work(data, context);
    }
  }
  return Jobs;
}

describe('stacked decorators', () => {
  it('merge when their options are the same, in whatever order these are written', async () => {
    @Injectable()
    class Stacked {
      @OnEvent('job.a', { retry: { attempts: 1, delay: 2 }, concurrency: 1 })
      @OnEvent('job.b', { concurrency: 1, retry: { delay: 2, attempts: 1 }, timeout: undefined })
      @OnEvent(['job.b', 'job.c'], { concurrency: 1, retry: { delay: 2, attempts: 1 } })
      run(_data: unknown, { name }: EventContext): void {
        received.add(name);
      }
    }
    const app = await start({ providers: [Stacked] });
    const events = app.get(EventService);
    for (const name of ['job.a', 'job.b', 'job.c'] as const) await events.emit(name, 1);
    expect(await received.atLeast(3)).toEqual(['job.a', 'job.b', 'job.c']);
    expect(events.status.subscriptions).toMatchObject([
      { name: 'Stacked.run', patterns: ['job.a', 'job.b', 'job.c'] },
    ]);
  });

  it('are handlers of their own when their options differ and each has a name', async () => {
    @Injectable()
    class Stacked {
      @OnEvent('job.a', { name: 'quick', retry: { attempts: 0 } })
      @OnEvent('job.a', { name: 'patient', retry: { attempts: 2 } })
      run(_data: unknown, { subscription, attempt }: EventContext): void {
        received.add(`${subscription} ${attempt}`);
        throw new Error('no');
      }
    }
    const app = await start({ providers: [Stacked] });
    await app.get(EventService).emit('job.a', 1);
    await memory.deadLetters(2);
    expect([...received.items].sort()).toEqual(['patient 1', 'patient 2', 'patient 3', 'quick 1']);
  });

  it.each<[string, OnEventOptions, OnEventOptions]>([
    ['without names', { concurrency: 1 }, { concurrency: 2 }],
    ['with one name', { name: 'same', timeout: 1000 }, { name: 'same', timeout: 2000 }],
    ['that differ in a start date', { startFrom: new Date(1) }, { startFrom: new Date(2) }],
  ])('fail start-up when their options differ %s, naming the method', async (_title, one, other) => {
    @Injectable()
    class Stacked {
      @OnEvent('job.a', one)
      @OnEvent('job.b', other)
      run(): void {}
    }
    const app = await compile({ providers: [Stacked] });
    const error = await app.init().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EventsConfigurationError);
    expect(error).toMatchObject({ code: 'invalid_configuration', option: 'name' });
    expect((error as Error).message).toMatch(
      /^Stacked\.run has several @OnEvent with different options.*`name`/,
    );
  });
});

describe('options of @OnEvent', () => {
  it('name: is the identity of the handler, for the broker and in the context', async () => {
    const app = await start({
      providers: [jobs({ name: 'nightly run' }, (_, c) => received.add(c.subscription))],
    });
    await app.get(EventService).emit('job.a', 1);
    expect(await received.atLeast(2)).toEqual([1, 'nightly run']);
    await app.close();

    // Renamed code, same name: it continues where it was.
    @Injectable()
    class Renamed {
      @OnEvent('job.a', { name: 'nightly run' })
      elsewhere(data: unknown): void {
        received.add(data);
      }
    }
    await memory.publishRaw('job.a', '2');
    await start({ providers: [Renamed] });
    expect(await received.atLeast(3)).toEqual([1, 'nightly run', 2]);
  });

  it('startFrom: a new durable begins with what comes from now on, unless told otherwise', async () => {
    await memory.publishRaw('job.a', '"before"');
    await start({ providers: [jobs({ concurrency: 1 })] });
    await memory.publishRaw('job.a', '"after"');
    expect(await received.atLeast(1)).toEqual(['after']);
  });

  it("startFrom 'first': begins with the oldest stored event", async () => {
    await memory.publishRaw('job.a', '"before"');
    await start({ providers: [jobs({ concurrency: 1, startFrom: 'first' })] });
    await memory.publishRaw('job.a', '"after"');
    expect(await received.atLeast(2)).toEqual(['before', 'after']);
  });

  it('startFrom a Date: begins with the first event stored then or later', async () => {
    await memory.publishRaw('job.a', '"earlier"');
    const earlier = memory.events().at(-1)?.storedAt ?? NaN;
    while (Date.now() <= earlier) await new Promise(setImmediate);
    await memory.publishRaw('job.a', '"later"');
    const storedAt = memory.events().at(-1)?.storedAt ?? NaN;
    await start({ providers: [jobs({ concurrency: 1, startFrom: new Date(storedAt) })] });
    await memory.publishRaw('job.a', '"now"');
    expect(await received.atLeast(2)).toEqual(['later', 'now']);
  });

  it('startFrom: is not looked at again when the durable exists', async () => {
    await memory.publishRaw('job.a', '1');
    const app = await start({ providers: [jobs({ concurrency: 1 })] });
    await app.close();
    await start({ providers: [jobs({ concurrency: 1, startFrom: 'first' })] });
    await memory.publishRaw('job.a', '2');
    expect(await received.atLeast(1)).toEqual([2]);
  });

  it("delivery 'ephemeral': gets what is published while it listens, and nothing from before", async () => {
    await memory.publishRaw('job.a', '"before"');
    const app = await start({
      providers: [jobs({ concurrency: 1, delivery: 'ephemeral', startFrom: 'first' })],
    });
    await app.get(EventService).emit('job.b', 'during');
    expect(await received.atLeast(1)).toEqual(['during']);
    await app.close();
    await memory.publishRaw('job.a', '"meanwhile"');
    const again = await start({ providers: [jobs({ concurrency: 1, delivery: 'ephemeral' })] });
    await again.get(EventService).emit('job.b', 'again');
    expect(await received.atLeast(2)).toEqual(['during', 'again']);
  });

  it('broadcast: every instance gets each event, where otherwise one of them does', async () => {
    const instance = (who: string): Provider => {
      @Injectable()
      class Caches {
        @OnEvent('price.changed', { broadcast: true })
        evict(data: number): void {
          received.add(`${who} evicts ${data}`);
        }
        @OnEvent('price.changed', { concurrency: 1 })
        mail(data: number): void {
          received.add(`mail ${data}`);
        }
      }
      return Caches;
    };
    const app = await start({ providers: [instance('one')] });
    await start({ providers: [instance('two')] });
    for (const data of [1, 2]) await app.get(EventService).emit('price.changed', data);
    expect([...(await received.atLeast(6))].sort()).toEqual([
      'mail 1',
      'mail 2',
      'one evicts 1',
      'one evicts 2',
      'two evicts 1',
      'two evicts 2',
    ]);
  });

  it('retry: is merged over that of the module', async () => {
    const fail = (_: unknown, { attempt }: EventContext): never => {
      throw new Error(`attempt ${attempt}`);
    };
    const app = await start(
      { providers: [jobs({ retry: { attempts: 2 } }, fail)] },
      { retry: { attempts: 50, delay: 1, jitter: 0 } },
    );
    await app.get(EventService).emit('job.a', 1);
    const [letter] = await memory.deadLetters(1);
    expect(received.items).toEqual([1, 1, 1]);
    expect(letter?.headers).toMatchObject({
      'Event-Failure-Reason': 'attempts_exhausted',
      'Event-Failure-Attempts': '3',
      'Event-Failure-Message': 'attempt 3',
    });
  });

  it('concurrency: bounds how many events the handler has at once', async () => {
    const gate = new Gate();
    let most = 0;
    let running = 0;
    const work = async (): Promise<void> => {
      most = Math.max(most, ++running);
      await gate.opened;
      running--;
    };
    const app = await start({ providers: [jobs({ concurrency: 3 }, work)] });
    for (let i = 0; i < 10; i++) await app.get(EventService).emit('job.a', i);
    await received.atLeast(3);
    expect(app.get(EventService).status.subscriptions).toMatchObject([{ running: 3 }]);
    gate.open();
    await received.atLeast(10);
    expect(most).toBe(3);
  });

  it('concurrency 1: keeps the order of the stream', async () => {
    const work = (): Promise<void> => new Promise(setImmediate);
    const app = await start({ providers: [jobs({ concurrency: 1 }, work)] });
    const data = Array.from({ length: 20 }, (_, i) => i);
    for (const each of data) await app.get(EventService).emit(each % 2 === 0 ? 'job.a' : 'job.b', each);
    expect(await received.atLeast(20)).toEqual(data);
  });

  it('timeout: aborts the signal of the attempt, which counts as a failure', async () => {
    const reasons: unknown[] = [];
    const hang = (_: unknown, { signal }: EventContext): Promise<never> =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          reasons.push(signal.reason);
          reject(new Error('given up'));
        }),
      );
    const app = await start(
      { providers: [jobs({ timeout: 10, retry: { attempts: 1 } }, hang)] },
      { handlerTimeout: 60_000 },
    );
    await app.get(EventService).emit('job.a', 1);
    const [letter] = await memory.deadLetters(1);
    expect(received.items).toEqual([1, 1]);
    expect(reasons).toMatchObject([{ code: 'handler_timeout' }, { code: 'handler_timeout' }]);
    expect(letter?.headers).toMatchObject({
      'Event-Failure-Reason': 'attempts_exhausted',
      'Event-Failure-Message': "handler 'Jobs.run' did not finish 'job.a' within 10 ms",
    });
  });

  it.each<[string, object]>([
    ['concurrency', { concurrency: 0 }],
    ['timeout', { timeout: -1 }],
    ['retry.attempts', { retry: { attempts: -1 } }],
    ['delivery', { delivery: 'durabel' }],
    ['startFrom', { startFrom: 'last' }],
    ['startFrom', { startFrom: new Date(NaN) }],
    ['broadcast', { broadcast: 'yes' }],
    ['name', { name: '' }],
    ['concurency', { concurency: 3 }],
  ])(
    'fails start-up for a wrong value of %s (%j), naming the handler and the option',
    async (option, wrong) => {
      const app = await compile({ providers: [jobs(wrong)] });
      const error = await app.init().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(EventsConfigurationError);
      expect((error as Error).message).toContain('Jobs.run');
      expect((error as EventsConfigurationError).option).toContain(option);
    },
  );
});

describe('options', () => {
  it.each([null, 5, 'durable', []])(
    'that are %j are refused at the start, naming the method',
    async (options) => {
      class Careless {
        @OnEvent('job.a', options as unknown as OnEventOptions)
        run(_data: unknown): void {}
      }
      const app = await compile({ providers: [Careless] });
      const error = await app.init().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(EventsConfigurationError);
      expect((error as Error).message).toMatch(/`Careless\.run` must be an object; got/);
    },
  );

  it('that are undefined count as not given, `decorated` too, and one that is shared may be completed later', async () => {
    const shared: OnEventOptions & { decorated: true } = { decorated: true };
    class Jobs {
      @OnEvent('job.a', { concurrency: 2, decorated: undefined })
      one(_data: unknown): void {}
      @OnEvent(['job.b', 'job.b'], shared)
      two(_data: unknown): void {}
      @OnEvent('job.a', { decorated: undefined })
      @OnEvent('job.c')
      three(_data: unknown): void {}
    }
    shared.name = 'late';
    const app = await start({ providers: [Jobs] });
    expect(app.get(EventService).status.subscriptions).toMatchObject([
      { name: 'Jobs.one', patterns: ['job.a'] },
      { name: 'late', patterns: ['job.b'] },
      { name: 'Jobs.three', patterns: ['job.a', 'job.c'] },
    ]);
  });

  it.each([undefined, null])(
    'an event that is %j is refused where it is declared: a circular import, mostly',
    (event) => {
      const declare = (): unknown => {
        class Jobs {
          @OnEvent(event as unknown as 'job.a')
          run(_data: unknown): void {}
        }
        return Jobs;
      };
      expect(declare).toThrow(TypeError);
    },
  );
});
