import { REDRIVES } from '../../core/dead-letter';
import type { StoredDeadLetter } from '../../core/dead-letter-store';
import { emptyHeaders } from '../../core/headers';
import { eventNameOf } from '../../core/names';
import type { Place } from './dead-letter-stream';
import type { BrokerMessage } from './message';

/** An event on its way from the dead letters back to its handler, with the subject and time it had at first. */
export interface RedrivenEvent extends Omit<BrokerMessage, 'bytes'> {
  /** In the event stream; told again if it fails again. */
  readonly origin: { readonly stream: string; readonly sequence: number };
  /** Among the redriven. */
  readonly place: Place;
}

const NOT_KEPT = /^(?:event-failure-|nats-)/i;

export function redrivenEvent(
  clusterId: string,
  { headers: told, body }: StoredDeadLetter,
  redrives: number,
  place: { readonly sequence: number; readonly redrivenAt: number },
): RedrivenEvent {
  const headers = emptyHeaders();
  for (const [key, value] of Object.entries(told)) if (!NOT_KEPT.test(key)) headers[key] = value;
  headers[REDRIVES] = String(redrives);
  const { sequence, redrivenAt } = place;
  const subject = told['Event-Origin-Subject'] ?? '';
  const time = Date.parse(told['Event-Origin-Time'] ?? '');
  return {
    subject,
    name: eventNameOf(clusterId, subject),
    headers: Object.freeze(headers),
    body,
    storedAt: Number.isNaN(time) ? redrivenAt : time,
    origin: {
      stream: told['Event-Origin-Stream'] ?? clusterId,
      sequence: Number(told['Event-Origin-Sequence'] ?? 0) || 0,
    },
    // In nanoseconds: the place of no event in the stream, whose time is in milliseconds.
    place: { sequence, timestamp: `${redrivenAt}000000` },
  };
}
