import { createNatsTransport } from '../../lib/transports/nats';
import { ACK } from '../../lib/core/settlement';
import { createEventService } from '../../lib/nest';
import { eventually, Ledger, sleep } from '../support/fault-ledger';
import { Relay } from '../support/fault-relay';
import { FaultScene } from '../support/fault-scene';
import { NatsServer } from '../support/nats-server';
import { silentLogger } from '../support/silent-logger';

const HOUR = 3_600_000;
const { now } = Date;

let server: NatsServer;
let scene: FaultScene;
beforeAll(async () => {
  server = await NatsServer.start();
});
afterAll(() => server.stop());
beforeEach(() => (scene = new FaultScene(server.url)));
afterEach(async () => {
  Date.now = now;
  await scene.end();
});

/** Sets the clock of the machine. */
const jump = (ms: number): void => {
  Date.now = () => now() + ms;
};

describe.each([
  ['back', -HOUR],
  ['forward', HOUR],
])('F57 a clock that is set an hour %s', (_direction, hour) => {
  it('leaves emits the time that they have, and tries them again', async () => {
    const service = await scene.service('app', { publishTimeout: 1500 });
    await service.emit('thing', {});
    const { streams } = await scene.jsm();
    await streams.delete(scene.clusterId);
    const since = performance.now();
    const refused = service.emit('thing', {}).catch((error: unknown) => error);
    await sleep(200);
    jump(hour);
    expect(await refused).toMatchObject({ code: 'no_stream' });
    expect(performance.now() - since).toBeGreaterThan(1400);
    // An emit that went by the clock of the machine would hang beyond the limit of the test.
  });

  it('leaves emits that wait for their turn theirs', async () => {
    const relay = await Relay.to(server.port);
    scene.atEnd(() => relay.stop());
    const service = await scene.service('app', {
      url: relay.url,
      publishTimeout: 1000,
      pendingEmits: { inFlight: 1 },
    });
    await service.emit('thing', {});
    relay.stall();
    const since = performance.now();
    const refused = [1, 2].map((each) => service.emit('thing', { each }).catch((error: unknown) => error));
    await sleep(200);
    jump(hour);
    const codes = (await Promise.all(refused)).map((error) => (error as { code: string }).code);
    expect(codes).toContain('publish_unconfirmed');
    expect(performance.now() - since).toBeGreaterThan(900);
    // An emit that went by the clock of the machine would hang beyond the limit of the test.
  });

  it('keeps running events alive: no other instance runs them too', async () => {
    const { clusterId } = scene;
    const options = { servers: [server.url], clusterId, ackWait: 3000, logger: silentLogger };
    const attempts: number[] = [];
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => (finish = resolve));
    const spec = {
      app: 'app',
      handler: 'h',
      durable: 'app__h',
      patterns: ['thing'],
      delivery: 'durable',
    } as const;
    const settings = { startFrom: 'new', concurrency: 10, broadcast: false, maxDeliveries: 3 } as const;
    for (let instance = 0; instance < 2; instance++) {
      const transport = createNatsTransport({ ...options, app: 'app' });
      scene.atEnd(() => transport.close());
      await transport.connect();
      const subscription = await transport.subscribe({ ...spec, ...settings }, async ({ attempt }) => {
        attempts.push(attempt);
        await finished;
        return ACK;
      });
      subscription.start();
    }
    const emitter = await scene.service('emitter');
    await emitter.emit('thing', {});
    await eventually('it runs', () => attempts.length === 1);
    jump(hour);
    await sleep(4500);
    finish();
    await scene.settled('app__h');
    expect(attempts).toEqual([1]);
  });

  it('finds a lost connection, and takes up a new one', async () => {
    const relay = await Relay.to(server.port);
    scene.atEnd(() => relay.stop());
    const ledger = new Ledger();
    const service = await scene.service('app', { url: relay.url });
    await service.subscribe('thing', ledger.handler(), { name: 'h' });
    relay.open = false;
    relay.cut();
    await eventually('the outage is seen', () => !service.status.connected);
    await sleep(1000);
    jump(hour);
    relay.open = true;
    await eventually('it is connected again', () => service.status.connected, 5000);
    await ledger.emit(service, 'thing', 'after');
    await eventually('it is handled', () => ledger.handled.has('after'));
    expect(scene.log.find('warn', /event_loop_blocked/)).toEqual([]);
  });

  it('goes on watching: a stream that is deleted is a problem', async () => {
    const service = await scene.service('app');
    await service.emit('thing', {});
    jump(hour);
    await sleep(1100);
    jump(hour / 2);
    const { streams } = await scene.jsm();
    await streams.delete(`${scene.clusterId}-dlq`);
    await eventually(
      'it is told',
      () => service.status.problems.some((each) => each.includes('-dlq')),
      10_000,
    );
  });

  it('lets a start-up take as long as it may', async () => {
    const since = performance.now();
    const refused = createEventService(
      { appName: 'app', url: 'nats://127.0.0.1:1', connectTimeout: 1000 },
      silentLogger,
    ).catch((error: unknown) => error);
    await sleep(100);
    jump(hour);
    expect(await refused).toMatchObject({ code: 'connection_failed' });
    expect(performance.now() - since).toBeGreaterThan(800);
  });
});
