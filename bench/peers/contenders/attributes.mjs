import { randomUUID } from 'node:crypto';

/** The five headers as an object, for those who take one. */
export function attributesOf(name, id = randomUUID()) {
  return {
    'ce-id': id,
    'ce-source': 'bench',
    'ce-type': name,
    'ce-time': new Date().toISOString(),
    'ce-correlationid': id,
  };
}

/** Hands an event over with such an object. */
export const handOverWith = (handled, event, headers) =>
  handled(
    event,
    headers['ce-id'],
    headers['ce-correlationid'],
    headers['ce-source'],
    headers['ce-type'],
    headers['ce-time'],
  );
