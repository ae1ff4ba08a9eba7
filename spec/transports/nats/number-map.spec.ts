import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { NumberMap } from '../../../lib/transports/nats/number-map';
import { buildLibrary } from '../../support/worker-build';

describe('a map from numbers', () => {
  it('is as a Map, whatever is set and deleted', () => {
    // Some meet in one bucket, also of larger tables; stream sequences may be as large as numbers are exact.
    const key = fc.oneof(
      fc.nat(40),
      fc.nat(40).map((n) => n * 4096),
      fc.nat(5).map((n) => Number.MAX_SAFE_INTEGER - n),
    );
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ set: key }) },
      { weight: 4, arbitrary: fc.record({ delete: key }) },
      { weight: 1, arbitrary: fc.constant('clear' as const) },
      { weight: 1, arbitrary: fc.record({ range: fc.nat(1200) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const map = new NumberMap<string>();
        const reference = new Map<number, string>();
        steps.forEach((each, n) => {
          if (each === 'clear') {
            map.clear();
            reference.clear();
          } else if ('set' in each) {
            map.set(each.set, `${n}`);
            reference.set(each.set, `${n}`);
          } else if ('delete' in each) {
            expect(map.delete(each.delete)).toBe(reference.delete(each.delete));
          } else {
            for (let number = 0; number < each.range; number++) {
              map.set(number, `${n}`);
              reference.set(number, `${n}`);
            }
          }
          expect(map.size).toBe(reference.size);
        });
        expect(map.values()).toEqual([...reference.values()]);
        for (const number of [...reference.keys(), 0, 7, 4096]) {
          expect(map.get(number)).toBe(reference.get(number));
        }
      }),
      { numRuns: 500, seed: 20_261_129 },
    );
  });

  it('shows those of one moment, also while they are deleted', () => {
    const map = new NumberMap<number>();
    for (let n = 0; n < 5; n++) map.set(n, n);
    const seen: number[] = [];
    for (const n of map.values()) {
      seen.push(n);
      map.delete(n);
      map.delete(n + 1);
      map.set(n + 10, n + 10);
    }
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    expect(map.values()).toEqual([10, 11, 12, 13, 14]);
  });

  it('refers to nothing that was deleted, however old it is', async () => {
    await buildLibrary();
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', '-e', CHURN], {
      cwd: path.join(__dirname, '..', '..', '..'),
    });
    expect(Number(stdout)).toBeLessThan(2 * 1024 * 1024);
  });
});

/**
 * Tells how many bytes stay of 40 MB that came and went when only what is young is collected: of a Map 20 MB, on Node 20. In a process
 * of its own, whose heap has seen nothing else.
 */
const CHURN = `
  const { NumberMap } = require('./dist/transports/nats/number-map.js');
  const map = new NumberMap();
  const churn = (from) => {
    for (let n = from; n < from + 50_000; n++) {
      map.set(n, new Array(100).fill(n));
      map.delete(n - 300);
    }
  };
  churn(0);
  gc(); // what is in it is old now
  const before = process.memoryUsage().heapUsed;
  churn(50_000);
  gc({ type: 'minor' });
  gc({ type: 'minor' });
  process.stdout.write(String(process.memoryUsage().heapUsed - before));
`;
