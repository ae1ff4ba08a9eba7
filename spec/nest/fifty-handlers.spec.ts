import 'reflect-metadata';
import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { EventService, EventsStrategy } from '@venta/events';
import { EventsTestingModule, TestEvents } from '@venta/events/testing';
import { AllWarnings } from '../support/all-warnings';
import { Enhanced, FEATURES, MOVED, PLAIN, SCOPED, ShopModule } from './fifty-handlers/application';
import { Journal, Step } from './fifty-handlers/feature';

const AT = '2026-01-02T03:04:05.678Z';
const TENANT = { 'x-tenant': 'acme' };

let app: INestApplication;
let events: TestEvents;
let journal: Journal;
let logger: AllWarnings;

beforeEach(async () => {
  logger = new AllWarnings();
  const shop = await Test.createTestingModule({ imports: [ShopModule, EventsTestingModule.override()] })
    .setLogger(logger)
    .compile();
  app = shop.createNestApplication();
  app.connectMicroservice({ strategy: new EventsStrategy() });
  await app.startAllMicroservices();
  await app.listen(0, '127.0.0.1');
  [events, journal] = [app.get(TestEvents), app.get(Journal)];
});
afterEach(() => app.close());

async function post(feature: string, headers: Record<string, string>, body: object): Promise<number> {
  const { status } = await fetch(`${await app.getUrl()}/${feature}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });
  return status;
}

/** Each feature by a request of its own, all at once. */
const placeAll = () =>
  Promise.all(
    FEATURES.map((feature, i) =>
      post(feature, { ...TENANT, 'x-case-id': `case-${feature}` }, { id: feature, amount: i + 1, at: AT }),
    ),
  );

const seenBy = (feature: string) => journal.seen.filter(({ handler }) => handler.startsWith(`${feature}.`));

describe('an application of fifty handlers', () => {
  it('runs all of them for five requests, each once and in its case', async () => {
    expect(await placeAll()).toEqual([201, 201, 201, 201, 201]);
    await events.settled();

    expect(events.handled()).toHaveLength(50);
    expect(new Set(events.handled().map(({ subscription }) => subscription)).size).toBe(50);
    for (const [i, feature] of FEATURES.entries()) {
      expect(seenBy(feature)).toEqual(
        [...MOVED, ...PLAIN].map((verb) => ({
          handler: `${feature}.${verb}`,
          correlation: `case-${feature}`,
          tenant: 'acme',
          repository: MOVED.includes(verb) || SCOPED.includes(feature) ? 'acme' : undefined,
          step: { id: feature, amount: i + 1, at: new Date(AT) },
        })),
      );
    }
    expect(journal.seen.every(({ step }) => step instanceof Step)).toBe(true);
    expect(new Set(events.emitted().map(({ name, correlationId }) => `${name} ${correlationId}`))).toEqual(
      new Set(journal.seen.map(({ handler, correlation }) => `${handler} ${correlation}`)),
    );
  });

  it('has the enhancers of the application around each, once', async () => {
    await placeAll();
    await events.settled();
    expect(app.get(Enhanced).counts).toEqual({
      'guard, http': 5,
      'interceptor, http': 5,
      'guard, event': 25,
      'interceptor, event': 25,
      'guard, rpc': 25,
      'interceptor, rpc': 25,
    });
  });

  it('logs nothing that anybody would have to look at', async () => {
    await placeAll();
    await events.settled();
    await app.close();
    expect(logger.warnings).toEqual([]);
  });

  it.each(['order.placed', 'order.packed'])('lets nothing past the guard: %s', async (name) => {
    expect(await post('order', {}, { id: 'order', amount: 1, at: AT })).toBe(403);
    await app.get(EventService).emit(name, { id: 'order', amount: 1, at: new Date() });
    await events.settled();
    expect(journal.seen).toEqual([]);
    expect(events.deadLettered()).toMatchObject([{ name, reason: 'non_retryable', attempts: 1 }]);
  });

  it.each(['order.placed', 'order.packed'])('lets nothing past the ValidationPipe: %s', async (name) => {
    expect(await post('order', TENANT, { id: 'order', amount: -1, at: AT })).toBe(400);
    await app.get(EventService).emit(name, { id: 'order', amount: -1, at: new Date() }, { headers: TENANT });
    await events.settled();
    expect(journal.seen).toEqual([]);
    expect(events.deadLettered()).toMatchObject([
      { name, reason: 'validation', attempts: 1, message: expect.stringContaining('amount') as string },
    ]);
  });

  it.each(['refund.reserved', 'refund.shipped'])('goes on after a failure in %s', async (name) => {
    journal.failing.add(name);
    await post('refund', { ...TENANT, 'x-case-id': 'case' }, { id: 'refund', amount: 1, at: AT });
    await events.settled();
    expect(events.failed()).toMatchObject([{ name, attempt: 1, correlationId: 'case' }]);

    await events.advance(1000);
    expect(seenBy('refund').map(({ correlation }) => correlation)).toEqual(Array(10).fill('case'));
    expect(events.handled(name)).toMatchObject([{ attempt: 2 }]);
    expect(app.get(Enhanced).counts).toMatchObject({
      [`filter, ${name.endsWith('shipped') ? 'rpc' : 'event'}`]: 1,
    });
  });

  it('handles what comes without a request in a case of its own', async () => {
    const step = { id: 'order', amount: 1, at: new Date() };
    const { id } = await app.get(EventService).emit('order.placed', step, { headers: TENANT });
    await events.settled();
    expect(seenBy('order').map(({ correlation }) => correlation)).toEqual(Array(10).fill(id));
  });
});
