import { Injectable } from '@nestjs/common';
import {
  createEventService,
  EmitManyError,
  EventsError,
  type EmitReceipt,
  type EventMiddleware,
  type EventService,
  type EventsModuleOptions,
  type EventToEmit,
  type EventTransport,
} from '@venta/events';
import type { OutboundMessage, PublishReceipt } from '../../lib/core/transport';
import { silentLogger } from '../support/silent-logger';

/** A broker whose confirmations the test gives. */
class Confirming implements EventTransport {
  readonly waiting: { message: OutboundMessage; confirm: () => void }[] = [];
  readonly batches: (readonly OutboundMessage[])[] = [];
  most = 0;

  publish(message: OutboundMessage): Promise<PublishReceipt> {
    return new Promise((resolve) => {
      this.waiting.push({
        message,
        confirm: () => resolve({ duplicate: false, stream: 's', sequence: 1 }),
      });
      this.most = Math.max(this.most, this.waiting.length);
    });
  }
  async publishAtomic(messages: readonly OutboundMessage[]): Promise<PublishReceipt[]> {
    this.batches.push(messages);
    return messages.map((_, sequence) => ({ duplicate: false, stream: 's', sequence }));
  }
  async confirmAll(): Promise<void> {
    do {
      for (const { confirm } of this.waiting.splice(0)) confirm();
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.waiting.length > 0);
  }
  async connect(): Promise<void> {}
  async subscribe(): Promise<never> {
    throw new Error('not here');
  }
  status(): { connected: boolean; problems: string[] } {
    return { connected: true, problems: [] };
  }
  async close(): Promise<void> {}
}

const events = (count: number): EventToEmit[] =>
  Array.from({ length: count }, (_, number) => ({
    name: 'user.created',
    data: number,
    options: { id: `e${number}` },
  }));

let transport: Confirming;
let service: EventService;
const start = async (
  middleware: EventMiddleware[] = [],
  options: Partial<EventsModuleOptions> = {},
): Promise<void> => {
  transport = new Confirming();
  service = await createEventService({ appName: 'shop', transport, middleware, ...options }, silentLogger);
};
afterEach(() => service.drain());

describe('emitMany', () => {
  it('keeps a window of events on their way, in their order, and gives a receipt for each', async () => {
    await start();
    const emitted = service.emitMany(events(20), { window: 5 });
    await new Promise((resolve) => setImmediate(resolve));
    expect(transport.waiting.map(({ message }) => message.messageId)).toEqual(
      [0, 1, 2, 3, 4].map((number) => `user.created:shop:e${number}`),
    );
    await transport.confirmAll();
    expect((await emitted).map(({ id }) => id)).toEqual(events(20).map(({ options }) => options?.id));
    expect(transport.most).toBe(5);
  });

  it('goes on after a failure, and says what became of each', async () => {
    await start();
    const all = [...events(2), { name: 'bad name', data: 1 }, ...events(1)] as EventToEmit[];
    const emitted = service.emitMany(all).catch((error: unknown) => error);
    await new Promise((resolve) => setImmediate(resolve));
    await transport.confirmAll();
    const error = (await emitted) as EmitManyError;
    expect(error).toBeInstanceOf(EmitManyError);
    expect(error.results.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'rejected',
      'fulfilled',
    ]);
  });

  it('is not refused for its own size: its window is never wider than what may be in flight', async () => {
    await start([], { pendingEmits: { inFlight: 3, waiting: 0 } });
    const emitted = service.emitMany(events(20));
    await new Promise((resolve) => setImmediate(resolve));
    await transport.confirmAll();
    expect(await emitted).toHaveLength(20);
    expect(transport.most).toBe(3);
  });

  it('refuses options it does not know or cannot follow', async () => {
    await start();
    await expect(service.emitMany([], { window: 0 })).rejects.toThrow(/emitMany\.window/);
    await expect(service.emitMany([], { windows: 5 } as never)).rejects.toThrow(/windows/);
  });

  describe('atomic', () => {
    it('hands all of them over at once, each after its middleware', async () => {
      @Injectable()
      class Late implements EventMiddleware {
        async publish(event: { data: unknown }, next: () => Promise<EmitReceipt>): Promise<EmitReceipt> {
          if (event.data === 0) await new Promise((resolve) => setImmediate(resolve));
          return next();
        }
      }
      await start([new Late()]);
      const receipts = await service.emitMany(events(3), { atomic: true });
      expect(transport.batches.map((batch) => batch.map(({ messageId }) => messageId))).toEqual([
        [0, 1, 2].map((number) => `user.created:shop:e${number}`),
      ]);
      expect(receipts).toMatchObject([
        { id: 'e0', sequence: 0 },
        { id: 'e1', sequence: 1 },
        { id: 'e2', sequence: 2 },
      ]);
    });

    it('hands over nothing when one of them is refused on its way', async () => {
      await start();
      const all = [...events(2), { name: 'user.created', data: 1n }] as EventToEmit[];
      const error = (await service
        .emitMany(all, { atomic: true })
        .catch((reason: unknown) => reason)) as EmitManyError;
      expect(error).toBeInstanceOf(EmitManyError);
      const reasons = error.results.map((result) =>
        result.status === 'rejected' ? (result.reason as EventsError).code : 'stored',
      );
      expect(reasons).toEqual(['publish_rejected', 'publish_rejected', 'unserializable']);
      expect(transport.batches).toEqual([]);
    });

    it('leaves out what a middleware answers itself', async () => {
      await start([
        {
          publish: async (event, next) => (event.data === 1 ? { id: event.id, duplicate: true } : next()),
        },
      ]);
      const receipts = await service.emitMany(events(3), { atomic: true });
      expect(transport.batches[0]?.map(({ messageId }) => messageId)).toEqual([
        'user.created:shop:e0',
        'user.created:shop:e2',
      ]);
      expect(receipts).toMatchObject([{ sequence: 0 }, { duplicate: true }, { sequence: 1 }]);
    });

    const holed = events(1);
    holed[2] = { name: 'user.created', data: 2 };
    it.each([
      ['null', [...events(1), null, ...events(1)]],
      ['undefined', [...events(1), undefined]],
      ['a hole', holed],
    ])('hands over nothing of a batch that has %s in it', async (_, all) => {
      await start();
      const error = (await service
        .emitMany(all as EventToEmit[], { atomic: true })
        .catch((reason: unknown) => reason)) as EmitManyError;
      expect(error).toBeInstanceOf(EmitManyError);
      expect(error.results.map(({ status }) => status)).toEqual(Array.from(all, () => 'rejected'));
      expect(transport.batches).toEqual([]);
    });

    it('is refused, and does not wait for ever, where a middleware lets one event wait for another', async () => {
      let before: Promise<unknown> = Promise.resolve();
      const oneByOne: EventMiddleware = {
        publish: (_, next) => {
          const mine = before.then(next, next);
          before = mine;
          return mine;
        },
      };
      await start([oneByOne], { publishTimeout: 100 });
      const error = (await service
        .emitMany(events(3), { atomic: true })
        .catch((reason: unknown) => reason)) as EmitManyError;
      expect(error).toBeInstanceOf(EmitManyError);
      expect(error.results).toMatchObject(
        events(3).map(() => ({ status: 'rejected', reason: { code: 'publish_rejected' } })),
      );
      expect(transport.batches).toEqual([]);
    });

    it('hands each event over once, though a middleware goes on twice', async () => {
      const twice: EventMiddleware = {
        publish: async (event, next) => {
          if (event.data === 1) await new Promise((resolve) => setImmediate(resolve));
          const [receipt] = await Promise.all([next(), next()]);
          return receipt;
        },
      };
      await start([twice]);
      const receipts = await service.emitMany(events(2), { atomic: true });
      expect(transport.batches.map((batch) => batch.map(({ messageId }) => messageId))).toEqual([
        ['user.created:shop:e0', 'user.created:shop:e1'],
      ]);
      expect(receipts).toMatchObject([
        { id: 'e0', sequence: 0 },
        { id: 'e1', sequence: 1 },
      ]);
    });

    it('is refused by a transport that has no batches', async () => {
      service = await createEventService({ appName: 'shop', url: 'memory://' }, silentLogger);
      await expect(service.emitMany(events(2), { atomic: true })).rejects.toMatchObject({
        code: 'batch_unsupported',
      });
    });
  });
});

describe('a flood of emits that nobody awaits', () => {
  it('is bounded: what is too much is refused by name, the rest is sent in its order', async () => {
    await start([], { pendingEmits: { inFlight: 10, waiting: 20 } });
    const outcomes = Array.from({ length: 100 }, (_, number) => service.emit('user.created', number));
    const results = Promise.allSettled(outcomes);
    await new Promise((resolve) => setImmediate(resolve));
    expect(transport.waiting).toHaveLength(10);
    await transport.confirmAll();
    const settled = await results;
    expect(settled.slice(0, 30).every(({ status }) => status === 'fulfilled')).toBe(true);
    for (const result of settled.slice(30)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'publish_overloaded' } });
    }
    expect(transport.most).toBe(10);
  });
});
