/**
 * Core NATS by the client alone: JSON and five headers, or JSON alone with the option `headers: false`. With `confirmed`, an
 * event that goes out by itself is confirmed by the server, as an `emit` is.
 */
import { connect } from 'nats';
import { EVENT_NAME, eventOf } from '../harness/event.mjs';
import { inBursts } from './bursts.mjs';
import { handOver, writeHeaders } from './raw-headers.mjs';

export async function publisher({ url, name, options }) {
  const connection = await connect({ servers: url });
  const subject = `${name}.${EVENT_NAME}`;
  const send = (index, more) => {
    const body = JSON.stringify(eventOf(index, { padding: options.padding, ...more }));
    if (options.headers === false) connection.publish(subject, body);
    else connection.publish(subject, body, { headers: writeHeaders(EVENT_NAME) });
  };
  return {
    publish: (count) => inBursts(count, send, () => connection.flush()),
    emit: async (index, more) => {
      send(index, more);
      if (options.confirmed === true) await connection.flush();
    },
    close: () => connection.drain(),
  };
}

export async function subscriber({ url, name, options }, handled) {
  const connection = await connect({ servers: url });
  const decoder = new TextDecoder();
  connection.subscribe(`${name}.>`, {
    queue: 'bench',
    callback: async (_error, message) => {
      const event = JSON.parse(decoder.decode(message.data));
      if (options.headers === false) handled(event);
      else handOver(handled, event, message.headers);
    },
  });
  await connection.flush();
  return { close: () => connection.drain() };
}
