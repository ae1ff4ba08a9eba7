import { failuresOf, promiseOf } from '../../lib/core/promises';

describe('failuresOf', () => {
  it('tells what failed, thrown at once or rejected later, in the order of the items', async () => {
    const failed = await failuresOf(['late', 'fine', 'thrown', 'fine later'], (item) => {
      if (item === 'thrown') throw new Error('thrown');
      if (item === 'late') return new Promise((_, reject) => setImmediate(reject, new Error('rejected')));
      return item === 'fine' ? item : Promise.resolve(item);
    });
    expect(failed).toEqual([
      { item: 'late', reason: new Error('rejected') },
      { item: 'thrown', reason: new Error('thrown') },
    ]);
  });

  it('asks for all of them before it waits for any', async () => {
    const asked: number[] = [];
    const release: (() => void)[] = [];
    const done = failuresOf([1, 2], (number) => {
      asked.push(number);
      return new Promise<void>((resolve) => release.push(resolve));
    });
    expect(asked).toEqual([1, 2]);
    for (const each of release) each();
    expect(await done).toEqual([]);
  });

  it('waits for what has a `then`, also another library’s', async () => {
    const later = { then: (_resolve: unknown, reject: (reason: unknown) => void) => reject('no') };
    expect(await failuresOf([1], () => later)).toEqual([{ item: 1, reason: 'no' }]);
  });
});

describe('promiseOf', () => {
  it('is the promise that it is given, one of what is there at once, and rejects with what is thrown', async () => {
    const promise = Promise.resolve(1);
    expect(promiseOf(() => promise)).toBe(promise);
    expect(await promiseOf(() => 2)).toBe(2);
    await expect(
      promiseOf(() => {
        throw new Error('thrown');
      }),
    ).rejects.toThrow('thrown');
  });
});
