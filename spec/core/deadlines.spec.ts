import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Deadlines as Line, type Expiring } from '../../lib/core/deadlines';

const DURATION = 20;

class Deadline implements Expiring {
  expiresAt = 0;
  previous: Expiring | undefined = undefined;
  next: Expiring | undefined = undefined;
  ended = false;

  constructor(
    private readonly line: Line,
    readonly expire: () => void,
  ) {}

  end(): void {
    this.line.end(this);
  }
}

class Deadlines {
  readonly #line: Line;

  constructor(duration: number) {
    this.#line = new Line(duration);
  }

  begin(expire: () => void): Deadline {
    const deadline = new Deadline(this.#line, expire);
    this.#line.begin(deadline);
    return deadline;
  }
}

let expired: string[];
beforeEach(() => (expired = []));

/** Resolves when it expires. */
const expiry = (deadlines: Deadlines, name: string): Promise<void> =>
  new Promise((resolve) => {
    deadlines.begin(() => {
      expired.push(name);
      resolve();
    });
  });
const block = (ms: number): void => {
  for (const end = performance.now() + ms; performance.now() < end;);
};

/** The timer of the deadlines does not keep the process alive; a test has to. */
let alive: NodeJS.Timeout;
beforeAll(() => (alive = setInterval(() => {}, 1000)));
afterAll(() => clearInterval(alive));

describe('deadlines', () => {
  it('expire in the order in which they began, none of them early', async () => {
    const deadlines = new Deadlines(DURATION);
    const began = performance.now();
    const first = expiry(deadlines, 'first');
    const second = expiry(deadlines, 'second');
    block(DURATION / 2);
    const beganLast = performance.now();
    const last = expiry(deadlines, 'last');
    await first;
    expect(performance.now() - began).toBeGreaterThanOrEqual(DURATION);
    await second;
    await last;
    expect(performance.now() - beganLast).toBeGreaterThanOrEqual(DURATION);
    expect(expired).toEqual(['first', 'second', 'last']);
  });

  it('do not expire once they have ended, however often they are told', async () => {
    const deadlines = new Deadlines(DURATION);
    const ended = deadlines.begin(() => expired.push('ended'));
    const other = expiry(deadlines, 'other');
    ended.end();
    ended.end();
    await other;
    ended.end();
    await expiry(deadlines, 'later');
    expect(expired).toEqual(['other', 'later']);
  });

  it('can be ended by the expiry of another', async () => {
    const deadlines = new Deadlines(DURATION);
    const others: Deadline[] = [];
    deadlines.begin(() => {
      expired.push('first');
      for (const other of others) other.end();
    });
    // Begun in a later millisecond, and due in the same turn of a blocked loop or in a later one.
    block(2);
    others.push(deadlines.begin(() => expired.push('other')));
    await expiry(deadlines, 'last');
    expect(expired[0]).toBe('first');
    expect(expired.at(-1)).toBe('last');
    await expiry(deadlines, 'again');
    expect(expired.filter((name) => name === 'other').length).toBeLessThanOrEqual(1);
  });

  it('each expire once, in their order, after a loop that was blocked', async () => {
    const deadlines = new Deadlines(DURATION);
    const all: Promise<void>[] = [];
    for (let number = 0; number < 5; number++) {
      all.push(expiry(deadlines, String(number)));
      block(DURATION / 2);
    }
    block(2 * DURATION);
    all.push(expiry(deadlines, 'after'));
    await Promise.all(all);
    expect(expired).toEqual(['0', '1', '2', '3', '4', 'after']);
  });

  it('begun in an expiry have their whole time', async () => {
    const deadlines = new Deadlines(DURATION);
    const lasted = await new Promise<number>((resolve) => {
      deadlines.begin(() => {
        const began = performance.now();
        deadlines.begin(() => resolve(performance.now() - began));
      });
    });
    expect(lasted).toBeGreaterThanOrEqual(DURATION);
  });

  it('expire in time, though another begins in the expiry of one before them', async () => {
    const deadlines = new Deadlines(300);
    deadlines.begin(() => deadlines.begin(() => undefined));
    block(10);
    const began = performance.now();
    await new Promise<void>((resolve) => deadlines.begin(resolve));
    expect(performance.now() - began).toBeLessThan(500);
  });

  it('are forgotten when they have ended, though the first still runs', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const deadlines = new Deadlines(60_000);
    const first = deadlines.begin(() => expired.push('first'));
    const ended: WeakRef<Deadline>[] = [];
    for (let number = 0; number < 20_000; number++) {
      const deadline = deadlines.begin(() => expired.push('ended'));
      ended.push(new WeakRef(deadline));
      deadline.end();
    }
    // What a weak reference was made of is held until the turn ends.
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    expect(ended.filter((reference) => reference.deref() !== undefined).length).toBeLessThan(100);
    first.end();
    expect(expired).toEqual([]);
  });
});
