import { Server } from '@nestjs/microservices';
import { ReplaySubject } from 'rxjs';
import { InFlightMessages } from '../../../lib/nest/edge/in-flight-messages';
import { followRpcTargets } from '../../../lib/nest/edge/rpc-origin';
import { Correlation } from '../../../lib/middleware';
import { silentLogger } from '../../support/silent-logger';

const correlation = (): Correlation => new Correlation({ logger: silentLogger });

class OwnServer extends Server {
  listen(): void {}
  close(): void {}
  on(): void {}
  unwrap(): never {
    throw new Error('there is nothing');
  }
}

describe('following the servers of an application', () => {
  it('changes those that Nest tells of, their class and others not, and ends', () => {
    const registry = new ReplaySubject<unknown>();
    const [early, late, afterwards, foreign] = Array.from({ length: 4 }, () => new OwnServer());
    const isChanged = (server: object): boolean => Object.hasOwn(server, 'addHandler');

    registry.next(early);
    const following = followRpcTargets(
      { getRpcTargetRegistry: () => registry as never },
      correlation(),
      new InFlightMessages(),
    );
    registry.next(late);
    for (const strange of [undefined, null, {}, 'a strategy without handlers']) registry.next(strange);
    following?.unsubscribe();
    registry.next(afterwards);

    const all = [early, late, afterwards, foreign, OwnServer.prototype] as OwnServer[];
    expect(all.map(isChanged)).toEqual([true, true, false, false, false]);
  });

  it('leaves handlers their name, pattern, kind, extras, arguments, errors and results', async () => {
    const registry = new ReplaySubject<unknown>();
    const server = new OwnServer();
    followRpcTargets(
      { getRpcTargetRegistry: () => registry as never },
      correlation(),
      new InFlightMessages(),
    );
    registry.next(server);
    const seen: unknown[] = [];
    const handler = async (...args: unknown[]): Promise<unknown> => {
      seen.push(args);
      if (args[0] === 'fail') throw new Error('no');
      return 'done';
    };

    server.addHandler('orders.place', handler, true, { queue: 'q' });
    const stored = server.getHandlerByPattern('orders.place')!;

    expect({ ...stored, name: stored.name }).toMatchObject({
      name: 'handler',
      isEventHandler: true,
      extras: { queue: 'q' },
    });
    expect(await stored('data', { getHeaders: () => undefined })).toBe('done');
    expect(await (stored as (...args: unknown[]) => unknown)()).toBe('done');
    await expect(stored('fail', { getHeaders: () => undefined })).rejects.toThrow('no');
    expect(seen).toEqual([['data', expect.anything()], [], ['fail', expect.anything()]]);
  });

  it('does nothing where Nest does not tell of servers, before 11.1.4', () => {
    expect(followRpcTargets({}, correlation(), new InFlightMessages())).toBeUndefined();
  });
});
