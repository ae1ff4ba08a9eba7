import { EventsError } from '../../core/errors';
import type { NatsLink } from './connection';
import { asMsgHdrs } from './header-block';

/** Publishes over core NATS: resolved means that the server has it, not that anybody keeps it. */
export class EphemeralPublisher {
  #flush: Promise<void> | undefined;

  /** @param timeout milliseconds the server has to answer */
  constructor(
    private readonly link: NatsLink,
    private readonly timeout: number,
  ) {}

  /** @throws EventsError `disconnected`, `permission_denied` */
  async publish(subject: string, header: Uint8Array, body: Uint8Array): Promise<void> {
    const { link } = this;
    if (!link.connected) {
      throw new EventsError('disconnected', `cannot publish to '${subject}': not connected to NATS`, {
        retryable: true,
      });
    }
    const { refusals } = link;
    const before = refusals.lastNumber('publish', subject);
    link.nc.publish(subject, body, { headers: asMsgHdrs(header) });
    // One round trip for all that is published in the same turn of the event loop.
    this.#flush ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        this.#flush = undefined;
        link.flush(this.timeout).then(resolve, reject);
      });
    });
    try {
      await this.#flush;
    } catch (cause) {
      throw new EventsError(
        'disconnected',
        `'${subject}' may not have reached the server: ${(cause as Error).message}`,
        {
          cause,
          retryable: true,
        },
      );
    }
    if (refusals.lastNumber('publish', subject) !== before) {
      throw new EventsError(
        'permission_denied',
        `the server does not permit this service to publish to '${subject}'`,
      );
    }
    refusals.lift('publish', subject);
  }
}
