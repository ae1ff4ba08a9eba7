import { Injectable } from '@nestjs/common';
import {
  defineEvent,
  EventsConfigurationError,
  EventService,
  EventValidationError,
  OnEvent,
  type EventContext,
} from '@venta/events';
import { Type } from 'class-transformer';
import { IsDate, IsEmail, IsInt, IsPositive, IsString, ValidateNested } from 'class-validator';
import * as v from 'valibot';
import { z } from 'zod';
import { Collector } from '../../lib/testing/conformance/collector';
import { applications } from '../support/applications';
import { sharedMemory } from '../support/shared-memory';

const memory = sharedMemory();
const { start, logger } = applications(() => ({ url: memory.url }));

class Address {
  @IsString()
  city!: string;
}
class UserCreated {
  @IsEmail()
  email!: string;
  @IsDate()
  at!: Date;
  @ValidateNested()
  @Type(() => Address)
  address!: Address;

  greet(): string {
    return `Hello ${this.email} of ${this.address.city}`;
  }
}
class Amount {
  @IsInt()
  @IsPositive()
  amount!: number;
}

let received: Collector<unknown>;
beforeEach(() => (received = new Collector('handled events')));

@Injectable()
class Handlers {
  @OnEvent('user.created', { concurrency: 1 })
  handle(event: unknown): void {
    received.add(event);
  }
}

const failureOf = (made: Promise<unknown>): Promise<unknown> =>
  made.then(
    () => undefined,
    (error: unknown) => error,
  );

describe.each([
  [
    'zod',
    z.object({
      email: z.email(),
      at: z.date(),
      address: z.object({ city: z.string() }),
    }),
  ],
  [
    'valibot',
    v.object({
      email: v.pipe(v.string(), v.email()),
      at: v.date(),
      address: v.object({ city: v.string() }),
    }),
  ],
  ['class-validator', UserCreated],
])('a contract with %s', (_library, schema) => {
  const events = [defineEvent('user.created', { schema })];
  const valid = { email: 'ada@example.org', at: new Date(1), address: { city: 'London' } };

  it('lets data that fits pass in both directions', async () => {
    const app = await start({ providers: [Handlers] }, { events });
    await app.get(EventService).emit('user.created', valid);
    const [event] = await received.atLeast(1);
    expect({ ...(event as object) }).toEqual(valid);
    expect(memory.bodies()).toEqual([{ ...valid, at: '1970-01-01T00:00:00.001Z' }]);
  });

  it('rejects to emit what does not fit, with the issues and their paths', async () => {
    const app = await start({}, { events });
    const error = await failureOf(
      app.get(EventService).emit('user.created', { ...valid, email: 'ada', address: { city: 7 } }),
    );
    expect(error).toBeInstanceOf(EventValidationError);
    expect(error).toMatchObject({ code: 'validation_failed', retryable: false });
    const { issues, message } = error as EventValidationError;
    expect(issues.map(({ path }) => path).sort()).toEqual(['/address/city', '/email']);
    expect(issues.every((issue) => issue.message.length > 0)).toBe(true);
    expect(message).toContain("'user.created'");
    expect(message).toContain('/address/city');
    expect(memory.events()).toEqual([]);
  });

  it('rejects to emit what is no object at all', async () => {
    const app = await start({}, { events });
    for (const data of ['text', null]) {
      const error = await failureOf(app.get(EventService).emit('user.created', data));
      expect(error).toMatchObject({ code: 'validation_failed', issues: [{ path: '' }] });
    }
  });

  it('turns a foreign event that does not fit into a dead letter, without running the handler', async () => {
    await start({ providers: [Handlers] }, { events });
    const invalid = '{"email":"ada@example.org","at":"1970-01-01T00:00:00.000Z","address":{}}';
    const headers = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-datepaths': '#/at' };
    await memory.publishRaw('user.created', invalid, headers);
    await memory.publishRaw('user.created', invalid.replace('{}', '{"city":"London"}'), headers);

    expect(await received.atLeast(1)).toHaveLength(1);
    const [letter] = await memory.deadLetters(1);
    expect(letter?.headers).toMatchObject({
      'Event-Failure-Reason': 'validation',
      'Event-Failure-Type': 'EventValidationError',
      'Event-Failure-Message': expect.stringContaining('/address/city') as string,
      'Event-Failure-Attempts': '1',
      'Event-Origin-Handler': 'Handlers.handle',
    });
    expect(Buffer.from(letter?.body ?? []).toString()).toBe(invalid);
    expect(received.items).toMatchObject([{ address: { city: 'London' } }]);
  });
});

describe('a contract that transforms', () => {
  const events = {
    created: defineEvent('user.created', {
      schema: z.object({
        age: z.string().transform(Number),
        role: z.string().default('guest'),
        at: z.coerce.date(),
      }),
      description: 'Somebody signed up',
      version: '2',
      context: 'identity',
    }),
  };

  it('sends the input and gives handlers the output, defaults included', async () => {
    const app = await start({ providers: [Handlers] }, { events });
    await app.get(EventService).emit('user.created', { age: '36', at: '2020-01-01T00:00:00.000Z' });
    expect(await received.atLeast(1)).toEqual([
      { age: 36, role: 'guest', at: new Date('2020-01-01T00:00:00.000Z') },
    ]);
    expect(memory.bodies()).toEqual([{ age: '36', at: '2020-01-01T00:00:00.000Z' }]);
  });

  it('applies to what a wildcard receives, by the name of each event', async () => {
    @Injectable()
    class Wild {
      @OnEvent('user.*', { concurrency: 1 })
      handle(event: unknown, { name }: EventContext): void {
        received.add([name, event]);
      }
    }
    const app = await start({ providers: [Wild] }, { events });
    await app.get(EventService).emit('user.created', { age: '36', at: 0 });
    await app.get(EventService).emit('user.deleted', { age: '36' });
    expect(await received.atLeast(2)).toEqual([
      ['user.created', { age: 36, role: 'guest', at: new Date(0) }],
      ['user.deleted', { age: '36' }],
    ]);
  });

  it('validates what middleware made of the data, in both directions', async () => {
    const app = await start(
      { providers: [Handlers] },
      {
        events,
        middleware: [
          {
            publish: (event, next) => ((event.data = { age: event.data, at: 0 }), next()),
            consume: (context, next) => (((context.data as { role: string }).role = 'admin'), next()),
          },
        ],
      },
    );
    await app.get(EventService).emit('user.created', '7');
    expect(await received.atLeast(1)).toEqual([{ age: 7, role: 'admin', at: new Date(0) }]);
    await expect(app.get(EventService).emit('user.created', 7)).rejects.toMatchObject({
      issues: [{ path: '/age' }],
    });
  });

  it('can look things up: a schema that fails to run is an ordinary failure, which is retried', async () => {
    let runs = 0;
    const schema = {
      '~standard': {
        version: 1 as const,
        vendor: 'handmade',
        validate: async (value: unknown) => {
          if (++runs === 2) throw new Error('the directory is down');
          return { value };
        },
      },
    };
    const app = await start({ providers: [Handlers] }, { events: [defineEvent('user.created', { schema })] });
    await app.get(EventService).emit('user.created', 'Ada');
    expect(await received.atLeast(1)).toEqual(['Ada']);
    expect((await logger.until('warn', /the directory is down/)).message).toContain('attempt 1');
    expect(runs).toBe(3);
  });
});

describe('a contract with a class-validator class', () => {
  it('gives handlers an instance of the class, nested ones included', async () => {
    @Injectable()
    class Greeter {
      @OnEvent('user.created')
      handle(event: UserCreated): void {
        received.add([event instanceof UserCreated, event.address instanceof Address, event.greet()]);
      }
    }
    const app = await start(
      { providers: [Greeter] },
      { events: [defineEvent('user.created', { schema: UserCreated })] },
    );
    const event = Object.assign(new UserCreated(), {
      email: 'ada@example.org',
      at: new Date(1),
      address: { city: 'London' },
    });
    await app.get(EventService).emit('user.created', event);
    expect(await received.atLeast(1)).toEqual([[true, true, 'Hello ada@example.org of London']]);
  });

  it('names every constraint that does not hold', async () => {
    const app = await start({}, { events: [defineEvent('order.paid', { schema: Amount })] });
    const error = await failureOf(app.get(EventService).emit('order.paid', { amount: -1.5 }));
    expect((error as EventValidationError).issues).toEqual([
      { path: '/amount', message: 'amount must be a positive number' },
      { path: '/amount', message: 'amount must be an integer number' },
    ]);
  });
});

describe('a contract under strict mode', () => {
  it('makes a dead letter of a foreign event without a contract that a wildcard receives', async () => {
    @Injectable()
    class Wild {
      @OnEvent('user.*', { concurrency: 1 })
      handle(event: unknown): void {
        received.add(event);
      }
    }
    await start(
      { providers: [Wild] },
      { strict: true, events: [defineEvent('user.created', { schema: z.string() })] },
    );
    await memory.publishRaw('user.unknown', '"Eve"');
    await memory.publishRaw('user.created', '"Ada"');
    expect(await received.atLeast(1)).toEqual(['Ada']);
    const [letter] = await memory.deadLetters(1);
    expect(letter?.headers).toMatchObject({
      'Event-Failure-Reason': 'validation',
      'Event-Origin-Subject': 'events.user.unknown',
    });
  });
});

describe('defineEvent', () => {
  it('refuses a name that cannot be emitted', () => {
    expect(() => defineEvent('user.*', { schema: z.string() })).toThrow(/invalid event name "user\.\*"/);
  });

  it('refuses a schema of neither kind, naming the event and what is allowed', () => {
    const schema = { parse: () => 1 } as unknown as z.ZodString;
    expect(() => defineEvent('user.created', { schema })).toThrow(EventsConfigurationError);
    expect(() => defineEvent('user.created', { schema })).toThrow(/'user\.created'.*Standard Schema/);
  });

  it('keeps what it was told, unchangeably', () => {
    const schema = z.string();
    const contract = defineEvent('user.created', { schema, description: 'd', version: '1', context: 'c' });
    expect(contract).toEqual({
      name: 'user.created',
      schema,
      description: 'd',
      version: '1',
      context: 'c',
    });
    expect(Object.isFrozen(contract)).toBe(true);
  });
});
