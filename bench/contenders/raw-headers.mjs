import { randomUUID } from 'node:crypto';
import { headers } from 'nats';

/** Five headers, by the client's own means. */
export function writeHeaders(name, id = randomUUID()) {
  const written = headers();
  written.set('ce-id', id);
  written.set('ce-source', 'bench');
  written.set('ce-type', name);
  written.set('ce-time', new Date().toISOString());
  written.set('ce-correlationid', id);
  return written;
}

/** Hands the event over with what the five headers say. */
export function handOver(handled, event, received) {
  handled(
    event,
    received.get('ce-id'),
    received.get('ce-correlationid'),
    received.get('ce-source'),
    received.get('ce-type'),
    received.get('ce-time'),
  );
}
