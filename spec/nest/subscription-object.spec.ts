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

  it('is of a definition that may be an instance of a class', async () => {
    let handle = (_data: unknown): void => undefined;
    const handled = new Promise((resolve) => (handle = resolve));
    class Definition {
      readonly name = 'A';
      readonly patterns = ['user.created'];
      readonly options = {};
      handler(data: unknown): void {
        handle(data);
      }
    }
    const service = await createEventService({ appName: 'shop', url: 'memory://' }, silentLogger);
    await service.bind(new Definition());
    await service.emit('user.created', 1);
    expect(await handled).toBe(1);
    await service.drain();
  });
});
