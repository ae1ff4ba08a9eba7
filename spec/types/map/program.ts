// `EventMap` is augmented by hand.
import { Ctx, Payload } from '@nestjs/microservices';
import { EventService, OnEvent, type EventContext, type EventHandler } from '@venta/events';

interface UserCreated {
  userId: string;
  email: string;
  timestamp: Date;
}
interface UserDeleted {
  userId: string;
  reason?: string;
}

declare module '@venta/events' {
  interface EventMap {
    'user.created': UserCreated;
    'user.deleted': UserDeleted;
    'user.profile.changed': { userId: string; changes: string[] };
    'order.paid': { amount: number };
    'system-started': null;
  }
}

const created: UserCreated = { userId: '1', email: 'a@b.c', timestamp: new Date() };

export class Handlers {
  @OnEvent('user.created')
  exact(event: UserCreated): void {
    void event.timestamp.getTime();
  }

  @OnEvent('user.created')
  async withContext(event: UserCreated, context: EventContext): Promise<void> {
    await Promise.resolve(event.email + context.name);
  }

  @OnEvent('user.created')
  withoutParameters(): string {
    return 'what it returns is ignored';
  }

  @OnEvent('user.created')
  wider(_event: { userId: string }): void {}

  @OnEvent('user.created')
  unknownData(_event: unknown, _context: EventContext): void {}

  @OnEvent('system-started')
  nothing(_event: null): void {}

  @OnEvent(['user.created', 'user.deleted'])
  several(event: UserCreated | UserDeleted): void {
    void event.userId;
  }

  @OnEvent('user.*')
  wildcard(event: UserCreated | UserDeleted): void {
    void event.userId;
  }

  @OnEvent('user.>')
  tail(event: UserCreated | UserDeleted | { userId: string; changes: string[] }): void {
    void event.userId;
  }

  @OnEvent('*.*.changed')
  inTheMiddle(event: { changes: string[] }): void {
    void event.changes.length;
  }

  @OnEvent(['user.*', 'order.paid'])
  listOfBoth(_event: UserCreated | UserDeleted | { amount: number }): void {}

  @OnEvent('>')
  everything(_event: unknown): void {}

  @OnEvent('user.created', { decorated: true })
  decorated(@Ctx() _context: EventContext, @Payload('userId') _userId: string): void {}

  @OnEvent(['anything', 'not.declared'], { decorated: true })
  decoratedList(@Payload('userId') _userId: string): void {}

  @OnEvent('user.created', { name: 'a' })
  @OnEvent('user.deleted', { name: 'b' })
  stacked(_event: UserCreated | UserDeleted): void {}

  // @ts-expect-error the first parameter does not fit the event
  @OnEvent('user.created')
  wrongData(_event: { userId: number }): void {}

  // @ts-expect-error an optional property cannot become a required one
  @OnEvent('user.deleted')
  requires(_event: { reason: string }): void {}

  // @ts-expect-error it must take both events
  @OnEvent(['user.created', 'user.deleted'])
  oneOfTwo(_event: UserCreated): void {}

  // @ts-expect-error the wildcard also means user.deleted
  @OnEvent('user.*')
  oneOfWildcard(_event: UserCreated): void {}

  // @ts-expect-error one of the stacked events does not fit
  @OnEvent('order.paid', { name: 'a' })
  @OnEvent('user.deleted', { name: 'b' })
  wrongStack(_event: UserDeleted): void {}

  // @ts-expect-error no such event
  @OnEvent('user.craeted')
  unknownName(): void {}

  // @ts-expect-error a wildcard that matches no event
  @OnEvent('vendor.*')
  unmatched(): void {}

  // @ts-expect-error `*` is one token: user.profile.changed has three
  @OnEvent('*.changed')
  tooShort(): void {}

  // @ts-expect-error `>` is one token or more
  @OnEvent('system-started.>')
  tooLong(): void {}

  // @ts-expect-error a pattern that is any string may match none
  @OnEvent(String('user.*'))
  anyString(): void {}

  // @ts-expect-error one name of the list is unknown
  @OnEvent(['user.created', 'user.craeted'])
  unknownInList(): void {}

  // @ts-expect-error the context comes second
  @OnEvent('user.created')
  contextFirst(_context: EventContext, _event: UserCreated): void {}

  // @ts-expect-error not all parameters are decorated, so the check is on
  @OnEvent('user.created', { decorated: false })
  notDecorated(_context: EventContext, _userId: string): void {}
}

export async function emitting(events: EventService): Promise<void> {
  await events.emit('user.created', created);
  await events.emit('user.deleted', { userId: '1' });
  await events.emit('system-started', null);
  const name = Math.random() > 0.5 ? 'user.created' : 'user.created';
  await events.emit(name, created);

  // @ts-expect-error no such event
  await events.emit('user.craeted', created);
  // @ts-expect-error a pattern is not a name
  await events.emit('user.*', created);
  // @ts-expect-error data of another event
  await events.emit('user.created', { amount: 1 });
  // @ts-expect-error a property is missing
  await events.emit('user.created', { userId: '1', email: 'a' });
  // @ts-expect-error a property too many
  await events.emit('user.deleted', { userId: '1', resaon: 'typo' });
  // @ts-expect-error a Date is not a string
  await events.emit('user.created', { ...created, timestamp: '2020-01-01' });
  // @ts-expect-error the data is missing
  await events.emit('user.created');
  // @ts-expect-error a name that is any string may be none
  await events.emit(String(name), created);

  await events.emitMany([
    { name: 'user.created', data: created },
    { name: 'order.paid', data: { amount: 1 }, options: { id: '1' } },
  ]);
  // @ts-expect-error data of another event
  await events.emitMany([{ name: 'user.created', data: { amount: 1 } }]);
  // @ts-expect-error no such event
  await events.emitMany([{ name: 'user.craeted', data: created }]);
}

export async function subscribing(events: EventService, handlers: Handlers): Promise<void> {
  await events.subscribe('user.created', (event) => event.timestamp.getTime());
  await events.subscribe('user.created', (event, context) => [event.email, context.signal.aborted]);
  await events.subscribe('user.created', async () => undefined, { concurrency: 1 });
  await events.subscribe('user.*', (event) => event.userId);
  await events.subscribe('user.>', (event) => ('changes' in event ? event.changes : event.userId));
  await events.subscribe('user.created', handlers.exact.bind(handlers));
  await events.subscribe('user.created', handlers.withContext.bind(handlers));
  await events.subscribe('user.*', handlers.wildcard.bind(handlers));

  // @ts-expect-error no such event
  await events.subscribe('user.craeted', () => undefined);
  // @ts-expect-error a wildcard that matches no event
  await events.subscribe('vendor.>', () => undefined);
  // @ts-expect-error a pattern that is any string may match none
  await events.subscribe(String('user.*'), () => undefined);
  // @ts-expect-error the data has no such property
  await events.subscribe('user.created', (event) => event.amount);
  // @ts-expect-error user.deleted has no email
  await events.subscribe('user.*', (event) => event.email);
  // @ts-expect-error the handler of another event, bound
  await events.subscribe('order.paid', handlers.exact.bind(handlers));
  // @ts-expect-error an unknown option
  await events.subscribe('user.created', () => undefined, { concurency: 1 });
}

export const handler: EventHandler<UserCreated> = (event, context) => `${event.email} ${context.attempt}`;
