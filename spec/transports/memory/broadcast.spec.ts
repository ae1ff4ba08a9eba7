import { Handler, retry, Setup } from './fixture';

const EVERYONE = { broadcast: true } as const;

describe('a broadcast of a memory broker', () => {
  let setup: Setup;
  beforeEach(() => (setup = new Setup()));
  afterEach(() => setup.end());

  it('reaches every instance, and is tried again only where it failed', async () => {
    const app = await setup.app();
    const healthy = await Handler.on(app, EVERYONE);
    const failing = await Handler.on(await setup.app(), EVERYONE, ({ attempt }) =>
      attempt === 1 ? retry(1000) : { kind: 'ack' },
    );
    await app.publish(setup.message('a'));
    await setup.clock.untilWaiting(1);
    setup.clock.advance(1000);
    expect(await failing.received(2)).toEqual(['a', 'a']);
    await app.publish(setup.message('b'));
    expect(await healthy.received(2)).toEqual(['a', 'b']);
    expect(healthy.attempts).toEqual([1, 1]);
  });

  it('starts where each subscription says, and is forgotten when it stops', async () => {
    const app = await setup.app({ stream: { maxMessages: 2 } });
    await app.publish(setup.message('a'));
    const first = await Handler.on(app, { ...EVERYONE, startFrom: 'first' });
    expect(await first.received(1)).toEqual(['a']);
    await first.subscription.stop(0);
    await app.publish(setup.message('b'));
    const late = await setup.app();
    const second = await Handler.on(late, EVERYONE);
    await app.publish(setup.message('c'));
    expect(await second.received(1)).toEqual(['c']);
    await app.publish(setup.message('d')); // drops 'b', which nobody waits for any more
    expect(await second.received(2)).toEqual(['c', 'd']);
    expect(setup.log.warnings).toEqual([]);
  });
});
