import { createEventService } from '@venta/events';
import { silentLogger } from '../support/silent-logger';

describe('what `subscribe` gives back', () => {
  it('can be taken apart: `const { unsubscribe } = await events.subscribe(…)`', async () => {
    const service = await createEventService({ appName: 'shop', url: 'memory://' }, silentLogger);
    const { unsubscribe } = await service.subscribe('user.created', () => undefined);
    await unsubscribe();
    expect(service.status.subscriptions).toEqual([]);
    await service.drain();
  });

  it('can be copied and written as JSON, with its name and patterns', async () => {
    const service = await createEventService({ appName: 'shop', url: 'memory://' }, silentLogger);
    const subscription = await service.subscribe('user.created', () => undefined);
    const told = { name: 'user.created', patterns: ['user.created'] };
    expect({ ...subscription }).toMatchObject(told);
    expect(JSON.parse(JSON.stringify(subscription))).toEqual(told);
    await service.drain();
  });

  it('keeps what it was bound with, whatever becomes of the definition', async () => {
    const service = await createEventService({ appName: 'shop', url: 'memory://' }, silentLogger);
    const definition = { name: 'A', patterns: ['user.created'], handler: () => undefined, options: {} };
    await service.bind(definition);
    definition.name = 'B';
    definition.patterns.push('user.deleted');
    expect(service.status.subscriptions).toMatchObject([{ name: 'A', patterns: ['user.created'] }]);
    await service.drain();
  });
});
