import { OrphanWatch } from '../../lib/core/orphan-watch';
import type { Orphan } from '../../lib/core/dead-letter-store';
import { eventually } from '../../lib/testing/conformance/collector';
import { ManualClock } from '../support/manual-clock';
import { RecordingLogger } from '../support/recording-logger';

const ORPHAN: Orphan = {
  durable: 'shop__Mail-send',
  stream: 'events',
  handler: 'Mail.send',
  patterns: ['a.b'],
  backlog: 3,
};

function watching(handlers: readonly string[]): {
  watch: OrphanWatch;
  clock: ManualClock;
  logger: RecordingLogger;
  orphans: Orphan[];
  bound: Set<string>;
  looks: () => number;
} {
  const clock = new ManualClock();
  const logger = new RecordingLogger();
  const [orphans, bound] = [[] as Orphan[], new Set(handlers)];
  let looks = 0;
  const find = async (): Promise<Orphan[]> => (looks++, [...orphans]);
  const after = clock.after.bind(clock);
  const watch = new OrphanWatch({ find, handlers: () => bound, logger, after });
  return { watch, clock, logger, orphans, bound, looks: () => looks };
}

const seen = (looks: () => number, count: number): Promise<unknown> =>
  eventually(
    async () => looks(),
    (now) => now >= count,
    (now) => `${now} looks`,
  );

describe('F36 a durable that no handler claims', () => {
  it('is found some minutes after the start, told once, and a problem until it is gone', async () => {
    const { watch, clock, logger, orphans, looks } = watching([]);
    await watch.begin();
    expect(watch.problems).toEqual([]);
    orphans.push(ORPHAN);
    for (let count = 2; count < 4; count++) {
      clock.advance(3 * 60 * 1000);
      await seen(looks, count);
      await new Promise(setImmediate);
      expect(watch.problems).toEqual([
        expect.stringContaining("has no handler 'Mail.send' any more, 3 events wait"),
      ]);
    }
    expect(logger.entries.items.filter(({ level }) => level === 'warn')).toHaveLength(1);
    orphans.pop();
    clock.advance(3 * 60 * 1000);
    await seen(looks, 4);
    await new Promise(setImmediate);
    expect(watch.problems).toEqual([]);
  });

  it('of a handler that has another durable now is told as that', async () => {
    const { watch, orphans } = watching(['Mail.send']);
    orphans.push(ORPHAN);
    await watch.begin();
    expect(watch.problems).toEqual([
      expect.stringMatching(/takes 'a\.b' for 'Mail\.send', which takes its events elsewhere now/),
    ]);
    watch.stop();
    expect(watch.problems).toEqual([]);
  });

  it('is no problem once its handler is bound', async () => {
    const { watch, orphans, bound } = watching([]);
    orphans.push(ORPHAN);
    await watch.begin();
    expect(watch.problems).toHaveLength(1);
    bound.add('Mail.send');
    expect(watch.problems).toEqual([]);
    watch.stop();
  });
});
