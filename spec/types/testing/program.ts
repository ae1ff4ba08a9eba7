// The records of the test kit know the events of `EventMap`.
import { defineEvent, type EventsOf } from '@venta/events';
import {
  EventsTestingModule,
  TestEvents,
  type DeadLetteredEvent,
  type EmittedEvent,
  type HandledEvent,
} from '@venta/events/testing';
import { z } from 'zod';

interface UserCreated {
  userId: string;
  timestamp: Date;
}

const contracts = {
  placed: defineEvent('order.placed', { schema: z.object({ amount: z.string().transform(Number) }) }),
};

declare module '@venta/events' {
  interface EventMap extends EventsOf<typeof contracts> {
    'user.created': UserCreated;
    'user.deleted': { userId: string; reason?: string };
  }
}

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(..._proof: Same<A, B> extends true ? [] : ['the types differ']): void => undefined;

export async function test(events: TestEvents): Promise<void> {
  const created = events.emitted('user.created')[0];
  if (created !== undefined) {
    same<typeof created.data, UserCreated>();
    same<typeof created.name, 'user.created'>();
    void created.data.timestamp.getTime();
    void created.receipt.duplicate;
    // @ts-expect-error an event that was emitted has no attempt
    void created.attempt;
  }

  // What a contract transforms: its input goes out, its output comes in.
  const amounts: string[] = events.emitted('order.placed').map(({ data }) => data.amount);
  const received: number[] = events.handled('order.placed').map(({ data }) => data.amount);
  void [amounts, received];

  // A pattern gives the union, which the name tells apart.
  for (const event of events.handled('user.*')) {
    same<typeof event.name, 'user.created' | 'user.deleted'>();
    void `${event.data.userId} ${event.subscription} ${event.attempt}`;
    if (event.name === 'user.created') void event.data.timestamp;
    // @ts-expect-error user.deleted has no timestamp
    else void event.data.timestamp;
  }
  for (const event of events.emitted()) {
    if (event.name === 'order.placed') void event.data.amount;
    // @ts-expect-error users have no amount
    else void event.data.amount;
  }

  const failed = events.failed('user.deleted')[0];
  if (failed?.settlement.kind === 'retry') void failed.settlement.delay;
  else void failed?.settlement.failure.reason;
  // @ts-expect-error whatever was thrown
  void failed?.error.message;

  const letter: DeadLetteredEvent<'user.created'> | undefined = events.deadLettered('user.created')[0];
  if (letter?.reason === 'attempts_exhausted') void `${letter.type}: ${letter.message} ${letter.attempts}`;
  // @ts-expect-error not one of the reasons
  void (letter?.reason === 'bad_luck');

  // @ts-expect-error no such event
  events.emitted('user.craeted');
  // @ts-expect-error a pattern that matches no event
  events.handled('vendor.>');

  await events.settled();
  await events.settled({ timeout: 100 });
  await events.advance(1000);
  // @ts-expect-error milliseconds
  await events.advance('1s');
  events.clear();
}

export const modules = [
  EventsTestingModule.register(),
  EventsTestingModule.register({ appName: 'users', retry: { attempts: 1 }, events: contracts }),
  EventsTestingModule.register({ test: { duplicate: true, fail: { probability: 0.3, seed: 42 } } }),
  EventsTestingModule.override({ test: new TestEvents({ timeout: 100, now: new Date(0) }) }),
  // @ts-expect-error a probability is needed
  EventsTestingModule.register({ test: { fail: { seed: 42 } } }),
  // @ts-expect-error no such option
  EventsTestingModule.register({ test: { duplicates: true } }),
];

export type Records = [EmittedEvent, HandledEvent<'user.created'>];
