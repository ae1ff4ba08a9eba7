/**
 * CloudEvents 1.0 attributes as headers: NATS protocol binding 1.0, binary mode.
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md
 */
export const CE = {
  specversion: 'ce-specversion',
  id: 'ce-id',
  source: 'ce-source',
  type: 'ce-type',
  time: 'ce-time',
  correlationId: 'ce-correlationid',
  causationId: 'ce-causationid',
  datePaths: 'ce-datepaths',
} as const;

// Space, double quote, percent, and all outside printable ASCII (section 3.2.3 of the binding, after the HTTP one).
const UNSAFE = /[^\x21\x23\x24\x26-\x7e]/;
const UNSAFE_RUN = /[^\x21\x23\x24\x26-\x7e]+/g;

export function encodeAttribute(value: string): string {
  if (!UNSAFE.test(value)) return value;
  return value.replace(UNSAFE_RUN, (run) =>
    [...Buffer.from(run, 'utf8')]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  );
}

/** Quoted strings of older senders are unquoted first (section 3.1.3.2 of the HTTP binding). */
export function decodeAttribute(value: string): string {
  const quoted = value.length > 1 && value.startsWith('"') && value.endsWith('"');
  const text = quoted ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value;
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // another sender's literal percent sign
  }
}
