import { readFileSync } from 'node:fs';
import path from 'node:path';
import { connect } from 'nats';
import { NonRetryableError } from '../../lib/core/errors';
import type { EventService } from '../../lib/core/event-service';
import { Collector, eventually } from '../../lib/testing/conformance/collector';
import { createEventService } from '../../lib/nest';
import { NatsServer } from '../support/nats-server';

/** The blocks of docs/guides/operations.md that tell which subjects a service needs. */
function template(): { service: string; deadLetters: string } {
  const guide = readFileSync(path.join(__dirname, '../../docs/guides/operations.md'), 'utf8');
  const service = /```\n(permissions: \{\n[\s\S]*?\n\})\n```/.exec(guide)?.[1];
  const deadLetters = /```\n("events-retry\.>",\n[\s\S]*?)\n```/.exec(guide)?.[1];
  if (service === undefined || deadLetters === undefined)
    throw new Error('the guide has no template any more');
  return { service, deadLetters };
}

describe('the permissions that the operations guide gives', () => {
  let server: NatsServer;
  const services: EventService[] = [];

  beforeAll(async () => {
    const { service, deadLetters } = template();
    const more = service.replace('publish: [', `publish: [\n${deadLetters},`);
    const user = (name: string, permissions: string): string =>
      `{ user: ${name}, password: secret, ${permissions} }`;
    server = await NatsServer.start({
      config: `authorization { users: [
        { user: admin, password: secret }, ${user('service', service)}, ${user('operator', more)}
      ] }`,
    });
    const admin = await connect({ servers: server.url, user: 'admin', pass: 'secret' });
    const made = await createEventService({
      appName: 'admin',
      url: server.url,
      connection: { user: 'admin', pass: 'secret' },
      consume: false,
    });
    await made.drain();
    await admin.close();
  });
  afterAll(async () => {
    await Promise.all(services.map((service) => service.drain()));
    await server.stop();
  });

  const start = async (user: string): Promise<EventService> => {
    const service = await createEventService({
      appName: 'user-service',
      url: server.url,
      connection: { user, pass: 'secret' },
      stream: { manage: false },
    });
    services.push(service);
    return service;
  };

  it('are enough to emit, to handle, to retry and to dead-letter', async () => {
    const service = await start('service');
    const attempts = new Collector<number>('attempts');
    await service.subscribe(
      'user.created',
      (_event, { attempt }) => {
        attempts.add(attempt);
        if (attempt === 1) throw new Error('again');
        throw new NonRetryableError('no more');
      },
      { name: 'a', retry: { delay: 20 } },
    );
    await service.subscribe('user.>', () => undefined, { name: 'all' });
    await service.bind({ name: 'two', patterns: ['a.b', 'a.c'], handler: () => undefined, options: {} });
    await service.emit('user.created', 1);
    await attempts.atLeast(2);
    await eventually(
      () => Promise.resolve(service.status),
      ({ subscriptions }) =>
        subscriptions.some(({ name, deadLettered }) => name === 'a' && deadLettered === 1),
      (status) => `the status is ${JSON.stringify(status)}`,
    );
    expect(service.status.problems.filter((problem) => problem.includes('denies'))).toEqual([]);
    await service.drain();
  });

  it('are, with those for dead letters, enough to list, redrive and discard', async () => {
    const operator = await start('operator');
    const handled = new Collector<unknown>('redriven events');
    await operator.subscribe('user.created', (event) => handled.add(event), { name: 'a' });
    const letters = await eventually(
      () => operator.deadLetters.list(),
      ({ items }) => items.length === 1,
      ({ items }) => `there are ${items.length} dead letters`,
    );
    const { id } = letters.items[0]!;
    expect(await operator.deadLetters.redrive(id)).toMatchObject({ redriven: [id], refused: [] });
    expect(await handled.atLeast(1)).toEqual([1]);
    expect(await operator.deadLetters.discard({})).toBe(0);
    expect(operator.status.problems.filter((problem) => problem.includes('denies'))).toEqual([]);
  });
});
