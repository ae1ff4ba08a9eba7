import type { DeadLetterFilter } from '../../lib/core/dead-letter-filter';
import { DeadLetterService } from '../../lib/core/dead-letter-service';
import type { DeadLetterScan, DeadLetterStore, StoredDeadLetter } from '../../lib/core/dead-letter-store';
import { EventsError } from '../../lib/core/errors';
import { JsonCodec } from '../../lib/core/json-codec';

const FAILED_AT = Date.UTC(2026, 0, 2, 3, 4, 5);
const NO_BODY = new Uint8Array();

const HEADERS = {
  'ce-specversion': '1.0',
  'ce-id': 'invoice%201',
  'ce-correlationid': 'case%207',
  'content-type': 'application/json',
  'x-tenant': 'a',
  'Nats-Msg-Size': '4',
  'Event-Failure-Reason': 'attempts_exhausted',
  'Event-Failure-Type': 'TypeError',
  'Event-Failure-Message': 'no such account',
  'Event-Failure-Attempts': '3',
  'Event-Failure-First-At': '2026-01-02T03:04:00.000Z',
  'Event-Failure-Last-At': '2026-01-02T03:04:05.000Z',
  'Event-Origin-Stream': 'shop',
  'Event-Origin-Sequence': '7',
  'Event-Origin-Subject': 'shop.invoice.issued',
  'Event-Origin-Time': '2026-01-02T03:00:00.000Z',
  'Event-Origin-Durable': 'billing__Books-enter',
  'Event-Origin-App': 'billing',
  'Event-Origin-Handler': 'Books.enter',
};

const letter = (
  id: number,
  headers: Record<string, string> = {},
  storedAt = FAILED_AT,
): StoredDeadLetter => ({
  id: String(id),
  headers: { ...HEADERS, ...headers },
  body: Buffer.from(String(id)),
  storedAt,
});

/** Keeps what it is given, and what was asked of it. */
class FakeStore implements DeadLetterStore {
  readonly scans: DeadLetterScan[] = [];
  readonly calls: string[] = [];
  onRedrive: (id: string) => void = () => {};
  onRemove: (id: string) => void = () => {};

  constructor(readonly letters: StoredDeadLetter[]) {}

  async scan(query: DeadLetterScan): Promise<StoredDeadLetter[]> {
    this.scans.push(query);
    const { after, limit, headersOnly = false } = query;
    const page = this.letters.filter(({ id }) => Number(id) > Number(after ?? 0)).slice(0, limit);
    return headersOnly ? page.map((each) => ({ ...each, body: NO_BODY })) : page;
  }

  async newest(): Promise<number> {
    return Number(this.letters.at(-1)?.id ?? 0);
  }

  async get(id: string): Promise<StoredDeadLetter | undefined> {
    return this.letters.find((each) => each.id === id);
  }

  async assertRedrivable({ id }: StoredDeadLetter): Promise<void> {
    this.onRedrive(id);
  }

  async redrive({ id, body }: StoredDeadLetter, redrives: number): Promise<void> {
    this.calls.push(`redrive ${id} (${String(body)}) ${redrives}`);
    this.onRedrive(id);
  }

  async remove(id: string): Promise<boolean> {
    this.calls.push(`remove ${id}`);
    const index = this.letters.findIndex((each) => each.id === id);
    if (index >= 0) this.letters.splice(index, 1);
    this.onRemove(id);
    return index >= 0;
  }
}

function serviceOf(
  letters: StoredDeadLetter[],
  maxRedrives = 5,
): { service: DeadLetterService; store: FakeStore } {
  const store = new FakeStore(letters);
  return {
    service: new DeadLetterService({ store: () => store, codec: new JsonCodec(), maxRedrives }),
    store,
  };
}

const letters = (count: number): StoredDeadLetter[] => Array.from({ length: count }, (_, i) => letter(i + 1));

describe('the dead-letter service', () => {
  it('says that there is nothing where the transport keeps no dead letters', async () => {
    const service = new DeadLetterService({ store: () => undefined, codec: new JsonCodec(), maxRedrives: 5 });
    const calls = [
      service.list(),
      service.get('1'),
      service.count(),
      service.redrive({}),
      service.discard('1'),
    ];
    for (const call of calls) {
      await expect(call).rejects.toMatchObject({
        code: 'no_dead_letter',
        message: expect.stringContaining('this transport') as string,
      });
    }
  });

  describe('reading a dead letter', () => {
    it('tells what its headers say', async () => {
      const { service } = serviceOf([letter(12, { 'Event-Redrives': '2' })]);
      const found = await service.get('12');
      expect(found).toEqual({
        id: '12',
        event: 'invoice.issued',
        eventId: 'invoice 1',
        correlationId: 'case 7',
        app: 'billing',
        subscription: 'Books.enter',
        durable: 'billing__Books-enter',
        reason: 'attempts_exhausted',
        error: { type: 'TypeError', message: 'no such account' },
        attempts: 3,
        firstFailedAt: new Date('2026-01-02T03:04:00Z'),
        lastFailedAt: new Date('2026-01-02T03:04:05Z'),
        redrives: 2,
        origin: {
          stream: 'shop',
          sequence: 7,
          subject: 'shop.invoice.issued',
          time: new Date('2026-01-02T03:00:00Z'),
        },
        headers: expect.objectContaining({ 'x-tenant': 'a' }) as object,
        body: Buffer.from('12'),
        data: expect.any(Function) as unknown,
      });
      expect(Object.keys(found?.headers ?? {})).toEqual(['x-tenant']);
      expect(found?.data()).toBe(12);
    });

    it('goes without what a foreign sender left out', async () => {
      const {
        'ce-id': _id,
        'ce-specversion': _version,
        'ce-correlationid': _correlation,
        ...headers
      } = HEADERS;
      const body = Buffer.from('{"pattern":"shop.invoice.issued","data":{"number":1}}');
      const { service } = serviceOf([{ ...letter(1), headers, body }]);
      const found = await service.get('1');
      const id = `shop-7-${found?.origin.time.getTime()}`;
      expect(found).toMatchObject({ eventId: id, correlationId: id, redrives: 0 });
      expect(found?.data()).toEqual({ number: 1 });
    });

    it('does not fail on headers that are no numbers', async () => {
      const headers = {
        'Event-Failure-Attempts': 'many',
        'Event-Redrives': '',
        'Event-Origin-Sequence': 'x',
      };
      const { service } = serviceOf([letter(1, headers)]);
      expect(await service.get('1')).toMatchObject({ attempts: 0, redrives: 0, origin: { sequence: 0 } });
    });

    it.each(['', '0', '01', '-1', '1.5', '1e3', 'one', ' 1', '9'.repeat(17)])(
      'refuses the id %j',
      async (id) => {
        const { service, store } = serviceOf(letters(1));
        for (const call of [
          service.get(id),
          service.redrive(id),
          service.discard(id),
          service.list({ cursor: id }),
        ])
          await expect(call).rejects.toMatchObject({ code: 'no_dead_letter' });
        expect(store.calls).toEqual([]);
      },
    );
  });

  describe('finding', () => {
    const at = (id: number, second: number): StoredDeadLetter => letter(id, {}, FAILED_AT + second * 1000);
    const time = (second: number): Date => new Date(FAILED_AT + second * 1000);

    it.each<[DeadLetterFilter, string[]]>([
      [{ since: time(2) }, ['3', '4']],
      [{ until: time(2) }, ['1', '2']],
      [{ since: time(1), until: time(3) }, ['2', '3']],
      [{ since: time(4) }, []],
      [{ since: new Date(NaN) }, []],
      [{ until: new Date(NaN) }, []],
    ])('takes `since` as inclusive and `until` as exclusive: %o', async (filter, ids) => {
      const { service } = serviceOf([at(1, 0), at(2, 1), at(3, 2), at(4, 3)]);
      expect((await service.list(filter)).items.map(({ id }) => id)).toEqual(ids);
    });

    it.each([
      [{ apps: 'billing' }, 'there is no `apps`'],
      [{ event: undefined }, '`event` is undefined'],
      [{ app: 'billing', subscription: undefined }, '`subscription` is undefined'],
    ])('refuses a condition that would quietly mean all: %o', async (condition, said) => {
      const { service, store } = serviceOf(letters(2));
      const filter = condition as DeadLetterFilter;
      const calls = [
        service.list(filter),
        service.count(filter),
        service.redrive(filter),
        service.discard(filter),
      ];
      for (const call of calls) {
        await expect(call).rejects.toMatchObject({
          code: 'invalid_configuration',
          message: expect.stringContaining(said) as string,
        });
      }
      expect(store.calls).toEqual([]);
      expect((await service.list({})).items).toHaveLength(2);
    });

    it('knows a handler by its name and by its durable', async () => {
      const { service } = serviceOf([
        letter(1, { 'Event-Origin-Handler': 'Mail.send', 'Event-Origin-Durable': 'billing__Mail-send__any' }),
        letter(2),
      ]);
      for (const subscription of ['Mail.send', 'billing__Mail-send__any'])
        expect((await service.list({ subscription })).items.map(({ id }) => id)).toEqual(['1']);
      expect((await service.list({ subscription: 'billing__Mail-send' })).items).toEqual([]);
    });

    it('reads page after page until it has enough', async () => {
      const many = Array.from({ length: 350 }, (_, i) =>
        letter(2 * i + 1, { 'Event-Origin-App': i % 100 === 99 ? 'rare' : 'billing' }),
      );
      const { service, store } = serviceOf(many);
      const first = await service.list({ app: 'rare', limit: 2 });
      expect(first.items.map(({ id }) => id)).toEqual(['199', '399']);
      expect(first.cursor).toBe('399');
      expect(await service.list({ app: 'rare', limit: 2, cursor: '399' })).toMatchObject({
        items: [{ id: '599' }],
      });
      const headers = store.scans.filter(({ headersOnly }) => headersOnly === true);
      expect(headers.map(({ after }) => after)).toEqual([undefined, '199', '399', '399', '599']);
    });

    it('F68 reads no body that it does not return, and those that follow on one another at once', async () => {
      const rare = new Set([2, 3, 5, 9]);
      const many = letters(120).map((each) => ({
        ...each,
        headers: { ...each.headers, 'Event-Origin-App': rare.has(Number(each.id)) ? 'rare' : 'billing' },
      }));
      const { service, store } = serviceOf(many);
      const { items } = await service.list({ app: 'rare', limit: 3 });
      expect(items.map((item) => [item.id, item.data()])).toEqual([
        ['2', 2],
        ['3', 3],
        ['5', 5],
      ]);
      expect(store.scans.filter(({ headersOnly }) => headersOnly !== true)).toEqual([
        { after: '1', limit: 2 },
        { after: '4', limit: 1 },
      ]);
      store.scans.length = 0;
      await service.list({ limit: 1 });
      expect(store.scans).toEqual([
        { after: undefined, limit: 2, headersOnly: true },
        { after: undefined, limit: 1 },
      ]);
    });

    it('leaves out what somebody takes while it reads', async () => {
      const { service, store } = serviceOf(letters(4));
      const scan = store.scan.bind(store);
      store.scan = async (query) => {
        if (query.headersOnly !== true) store.letters.splice(1, 1);
        return scan(query);
      };
      const { items, cursor } = await service.list({ limit: 3 });
      expect(items.map(({ id }) => id)).toEqual(['1', '3']);
      expect(cursor).toBe('3');
    });

    it('gives a cursor only where there is more', async () => {
      const { service } = serviceOf(letters(100));
      expect((await service.list({ limit: 99 })).cursor).toBe('99');
      expect(await service.list({ limit: 100 })).not.toHaveProperty('cursor');
      expect(await service.list({ limit: 1, cursor: '99' })).not.toHaveProperty('cursor');
    });

    it('reads no bodies to count', async () => {
      const { service, store } = serviceOf(letters(3));
      expect(await service.count()).toEqual([
        {
          app: 'billing',
          subscription: 'Books.enter',
          event: 'invoice.issued',
          reason: 'attempts_exhausted',
          count: 3,
        },
      ]);
      expect(store.scans.every(({ headersOnly }) => headersOnly)).toBe(true);
    });
  });

  describe('redriving', () => {
    it('sends first and removes second, with the body', async () => {
      const { service, store } = serviceOf([letter(1), letter(2, { 'Event-Redrives': '4' })]);
      await service.redrive('2');
      await service.redrive({});
      expect(store.calls).toEqual(['redrive 2 (2) 5', 'remove 2', 'redrive 1 (1) 1', 'remove 1']);
    });

    it('keeps what could not be sent, and says why', async () => {
      const { service, store } = serviceOf(letters(3));
      store.onRedrive = (id) => {
        if (id === '2') throw new EventsError('publish_unconfirmed', 'no answer');
      };
      expect(await service.redrive({})).toMatchObject({
        redriven: ['1', '3'],
        refused: [{ id: '2', error: { code: 'publish_unconfirmed' } }],
      });
      expect(store.letters.map(({ id }) => id)).toEqual(['2']);
      await expect(service.redrive('2')).rejects.toMatchObject({ code: 'publish_unconfirmed' });
      expect(store.letters.map(({ id }) => id)).toEqual(['2']);
    });

    it('F60 tells of what no transport foresaw as of any other refusal, and goes on', async () => {
      const { service, store } = serviceOf(letters(3));
      store.onRedrive = (id) => {
        if (id === '1') throw new Error('invalid durable name');
      };
      const { redriven, refused } = await service.redrive({});
      expect(redriven).toEqual(['2', '3']);
      expect(refused).toMatchObject([
        { id: '1', error: { code: 'publish_rejected', cause: { message: 'invalid durable name' } } },
      ]);
      expect(refused[0]?.error).toBeInstanceOf(EventsError);
    });

    it('F60 ends, with a cursor, where the broker does not answer any more', async () => {
      const { service, store } = serviceOf(letters(10));
      store.onRedrive = (id) => {
        if (Number(id) > 4) throw new EventsError('publish_unconfirmed', 'no answer');
      };
      const { redriven, refused, cursor } = await service.redrive({});
      expect(redriven).toEqual(['1', '2', '3', '4']);
      expect(refused.map(({ id }) => id)).toEqual(['5', '6', '7']);
      expect(cursor).toBe('7');
      store.onRedrive = () => {
        throw new EventsError('closed', 'the transport is closed');
      };
      await expect(service.redrive({})).rejects.toMatchObject({ code: 'closed' });
    });

    it('goes on after what is refused, and counts it towards the limit', async () => {
      const { service, store } = serviceOf([
        letter(1, { 'Event-Redrives': '5' }),
        letter(2),
        letter(3),
        letter(4),
      ]);
      store.onRedrive = (id) => {
        if (id === '3') throw new EventsError('no_handler', 'renamed');
      };
      const part = await service.redrive({}, { limit: 3 });
      expect(part).toMatchObject({
        redriven: ['2'],
        refused: [
          { id: '1', error: { code: 'redrive_limit' } },
          { id: '3', error: { code: 'no_handler' } },
        ],
        cursor: '3',
      });
      expect(await service.redrive({}, { cursor: '3' })).toEqual({ redriven: ['4'], refused: [] });
      expect(store.letters.map(({ id }) => id)).toEqual(['1', '3']);
    });

    it('allows none where the limit is 0, naming the option', async () => {
      const { service, store } = serviceOf(letters(1), 0);
      await expect(service.redrive('1')).rejects.toMatchObject({
        code: 'redrive_limit',
        message: expect.stringContaining('`maxRedrives` is 0') as string,
      });
      expect(store.calls).toEqual([]);
    });

    it('passes over what somebody else has taken meanwhile', async () => {
      const { service, store } = serviceOf(letters(3));
      store.onRedrive = (id) => {
        if (id === '1') store.letters.splice(1, 1);
      };
      expect(await service.redrive({})).toEqual({ redriven: ['1', '3'], refused: [] });
    });

    it('does not take what becomes a dead letter while it runs', async () => {
      // A page full: the next one has only what came later.
      const { service, store } = serviceOf(letters(100));
      store.onRedrive = (id) => store.letters.push(letter(Number(id) + 100));
      const { redriven } = await service.redrive({}, { rate: 100_000 });
      expect(redriven).toEqual(Array.from({ length: 100 }, (_, i) => String(i + 1)));
      expect(store.letters).toHaveLength(100);
    });

    it('changes nothing when it runs dry', async () => {
      const { service, store } = serviceOf([letter(1), letter(2, { 'Event-Redrives': '5' })]);
      expect(await service.redrive({}, { dryRun: true, rate: 1 })).toMatchObject({
        redriven: ['1'],
        refused: [{ id: '2', error: { code: 'redrive_limit' } }],
      });
      expect(await service.redrive('1', { dryRun: true })).toEqual({ redriven: ['1'], refused: [] });
      expect(store.calls).toEqual([]);
    });

    it('keeps to its rate', async () => {
      jest.useFakeTimers();
      try {
        const { service, store } = serviceOf(letters(4));
        const running = service.redrive({}, { rate: 10 });
        const sent = (): number => store.calls.filter((call) => call.startsWith('redrive')).length;
        await jest.advanceTimersByTimeAsync(0);
        expect(sent()).toBe(1);
        await jest.advanceTimersByTimeAsync(99);
        expect(sent()).toBe(1);
        await jest.advanceTimersByTimeAsync(1);
        expect(sent()).toBe(2);
        await jest.advanceTimersByTimeAsync(200);
        expect(await running).toMatchObject({ redriven: ['1', '2', '3', '4'] });
      } finally {
        jest.useRealTimers();
      }
    });

    it.each([
      ['limit', 0],
      ['limit', 1_000_001],
      ['limit', 1.5],
      ['rate', 0],
      ['rate', NaN],
    ])('refuses the %s %d, naming it', async (option, value) => {
      const { service } = serviceOf(letters(1));
      await expect(service.redrive({}, { [option]: value })).rejects.toMatchObject({
        code: 'invalid_configuration',
        message: expect.stringContaining(`\`${option}\``) as string,
      });
    });
  });

  describe('discarding', () => {
    it('removes what matches and was there when it began', async () => {
      const { service, store } = serviceOf([
        letter(1),
        letter(2, { 'Event-Origin-App': 'archive' }),
        letter(3),
      ]);
      expect(await service.discard({ app: 'billing' })).toBe(2);
      expect(store.letters.map(({ id }) => id)).toEqual(['2']);
      expect(await service.discard('2')).toBe(1);
      expect(await service.discard('2')).toBe(0);
    });

    it('leaves what becomes a dead letter while it runs', async () => {
      const { service, store } = serviceOf(letters(100));
      store.onRemove = (id) => store.letters.push(letter(Number(id) + 100));
      expect(await service.discard({})).toBe(100);
      expect(store.letters).toHaveLength(100);
    });

    it('removes nothing where the pattern is none', async () => {
      const { service, store } = serviceOf(letters(1));
      await expect(service.discard({ event: 'invoice.' })).rejects.toMatchObject({ code: 'invalid_pattern' });
      expect(store.calls).toEqual([]);
    });
  });
});
