/**
 * JetStream by the client alone: `js.publish` with message id and five headers, a pull consumer with a callback, explicit
 * acknowledgement after the handler. Options: `noAsyncTraces` as of the client, `inFlight`, `padding`.
 */
import { connect } from 'nats';
import { randomUUID } from 'node:crypto';
import { EVENT_NAME, eventOf } from '../harness/event.mjs';
import { inFlight } from '../harness/in-flight.mjs';
import { handOver, writeHeaders } from './raw-headers.mjs';
import { consumerConfig, leftovers, streamConfig } from './stored-events.mjs';

const DURABLE = 'bench';
const MAX_MESSAGES = 500;

export async function publisher({ url, name, options }) {
  const connection = await connect({ servers: url, noAsyncTraces: options.noAsyncTraces ?? false });
  const js = connection.jetstream();
  const emit = (index, more) => {
    const id = randomUUID();
    const body = JSON.stringify(eventOf(index, { padding: options.padding, ...more }));
    return js.publish(`${name}.${EVENT_NAME}`, body, { msgID: id, headers: writeHeaders(EVENT_NAME, id) });
  };
  return {
    publish: (count) => inFlight(count, options.inFlight ?? 256, emit),
    emit,
    close: () => connection.drain(),
  };
}

export async function subscriber({ url, name, options }, handled) {
  const connection = await connect({ servers: url, noAsyncTraces: options.noAsyncTraces ?? false });
  const jsm = await connection.jetstreamManager();
  await jsm.streams.add(streamConfig(name));
  await jsm.consumers.add(name, consumerConfig(DURABLE, `${name}.${EVENT_NAME}`));
  const consumer = await connection.jetstream().consumers.get(name, DURABLE);
  const decoder = new TextDecoder();
  let messages;
  const side = {
    async open() {
      messages = await consumer.consume({
        max_messages: MAX_MESSAGES,
        callback: async (message) => {
          handOver(handled, JSON.parse(decoder.decode(message.data)), message.headers);
          message.ack();
        },
      });
    },
    shut: () => messages.close(),
    leftovers: () => leftovers(jsm, name),
    forget: () => jsm.streams.purge(name),
    close: () => connection.drain(),
  };
  if (options.drain !== true) await side.open();
  return side;
}
