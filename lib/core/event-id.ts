import { createHash, randomFillSync } from 'node:crypto';
import { decodeAttribute } from './cloudevents';

const MAX_LENGTH = 256;
/** Control characters, and halves of surrogate pairs: all of those are one character in UTF-8. */
const UNFIT = /[\p{Cc}\p{Cs}]/u;
const UNFIT_ALL = /[\p{Cc}\p{Cs}]/gu;
/** Letters, digits and most signs: nothing is encoded, quoted or to be taken out. */
const CLEAN = /^[\x21\x23\x24\x26-\x7e]{1,256}$/;
const DIGEST_LENGTH = 32;

/** Which values `id`, `correlationId` and `causationId` may have. Completes "must be …". */
export const ID_RULE = `a string of 1 to ${MAX_LENGTH} characters, without control characters and halves of surrogate pairs`;

export const isEventId = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= MAX_LENGTH && !UNFIT.test(value);

/**
 * The id in a header of an event that arrives. It ends up in logs and keys: what `emit` would refuse is cut and cleaned, and a digest
 * of the whole keeps different ids different.
 * @returns `undefined` of an empty one, which is none
 */
export function receivedId(header: string | undefined): string | undefined {
  if (header === undefined || CLEAN.test(header)) return header;
  const id = decodeAttribute(header);
  if (id.length <= MAX_LENGTH && !UNFIT.test(id)) return id || undefined;
  const digest = createHash('sha256').update(header).digest('hex').slice(0, DIGEST_LENGTH);
  const start = id.slice(0, MAX_LENGTH).replace(UNFIT_ALL, '');
  return `${start.slice(0, MAX_LENGTH - DIGEST_LENGTH - 1).replace(UNFIT_ALL, '')}~${digest}`;
}

/**
 * The id of an event whose sender gave none: its place in the stream. Sequences are used again after a stream lost its tail or was
 * made anew, so the time belongs to it.
 * @param storedAt milliseconds since the epoch
 */
export const placeId = (stream: string, sequence: number, storedAt: number): string =>
  `${stream}-${sequence}-${storedAt}`;

/** Ids for which random bytes are asked for at once. */
const POOL = 128;
const BYTES = 16;
const random = Buffer.alloc(POOL * BYTES);
let used = random.length;
/** The dashes stay, all else is written anew for each. */
const line = Buffer.from('00000000-0000-0000-0000-000000000000');
const DIGITS = Buffer.from('0123456789abcdef');

/**
 * A random UUID (RFC 9562, version 4). Little more than a third of what `randomUUID` costs an emit: its text is joined of
 * twenty pieces, which have to be put together when it is first used.
 */
export function newEventId(): string {
  if (used === random.length) {
    randomFillSync(random);
    used = 0;
  }
  random[used + 6] = ((random[used + 6] as number) & 0x0f) | 0x40;
  random[used + 8] = ((random[used + 8] as number) & 0x3f) | 0x80;
  let to = 0;
  for (let index = 0; index < BYTES; index++) {
    if (index === 4 || index === 6 || index === 8 || index === 10) to++;
    const byte = random[used++] as number;
    line[to++] = DIGITS[byte >> 4] as number;
    line[to++] = DIGITS[byte & 0x0f] as number;
  }
  return line.toString('latin1');
}
