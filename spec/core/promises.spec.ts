import { promiseOf, settleAll } from '../../lib/core/promises';

describe('settleAll', () => {
  it('tells of each in its place, whether it was there at once or came later', async () => {
    const results = await settleAll([1, 2, 3, 4], (number) => {
      if (number === 1) return 'at once';
      if (number === 2) throw new Error('thrown');
      return number === 3 ? Promise.resolve('later') : Promise.reject(new Error('rejected'));
    });
    expect(results).toEqual([
      { status: 'fulfilled', value: 'at once' },
      { status: 'rejected', reason: new Error('thrown') },
      { status: 'fulfilled', value: 'later' },
      { status: 'rejected', reason: new Error('rejected') },
    ]);
  });

  it('asks for all of them before it waits for any', async () => {
    const asked: number[] = [];
    const release: (() => void)[] = [];
    const settled = settleAll([1, 2], (number) => {
      asked.push(number);
      return new Promise<void>((resolve) => release.push(resolve));
    });
    expect(asked).toEqual([1, 2]);
    for (const each of release) each();
    expect(await settled).toHaveLength(2);
  });

  it('takes what has a `then` for a promise, also another library’s', async () => {
    const later = {
      then: (resolve: (value: string) => void) => resolve('later'),
    } as unknown as Promise<string>;
    expect(await settleAll([1], () => later)).toEqual([{ status: 'fulfilled', value: 'later' }]);
  });

  it('is empty of nothing', async () => {
    expect(await settleAll([], () => 1)).toEqual([]);
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
