import assert from 'node:assert/strict';
import { createEventService, type EventMap } from '@venta/events';
import type { EventTransport } from '@venta/events/testing';
import { deferred } from '../deferred.js';
import type { Scenario } from '../scenario.js';

// Both entries have one type of it.
const own: EventTransport | undefined = undefined;

export const standAlone: Scenario = {
  name: 'createEventService works without Nest, on the server and on the memory transport',
  async run(options) {
    const silent = { debug() {}, log() {}, warn() {}, error() {} };
    for (const url of [options.url, 'memory://']) {
      const service = await createEventService({ ...options, url, transport: own }, silent);
      const received = deferred<EventMap['invoice.sent']>();
      const subscription = await service.subscribe('invoice.sent', received.resolve);
      const { duplicate } = await service.emit('invoice.sent', { number: 3 }, { id: 'sent-3' });
      assert.equal(duplicate, false);
      assert.deepEqual(await received.promise, { number: 3 });
      await subscription.unsubscribe();
      await service.drain();
      assert.equal(service.status.state, 'closed');
    }
  },
};
