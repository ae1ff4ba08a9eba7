/** Gives the value of a header by its lower-case key, `undefined` where there is none. */
export type HeaderLookup = (key: string) => unknown;

interface Carrier {
  readonly getHeaders?: () => unknown;
  readonly getMessage?: () => { headers?: unknown; properties?: { headers?: unknown } } | undefined;
  readonly getPacket?: () => { properties?: { userProperties?: unknown } } | undefined;
  readonly metadata?: unknown;
}

/**
 * Finds the headers in what a transport of Nest calls a handler with, by shape, since no transport's library need be
 * installed: NATS, gRPC, Kafka, RabbitMQ and MQTT 5 have some.
 * @returns undefined where there is no place for headers, as with TCP and Redis
 */
export function rpcHeadersOf(args: readonly unknown[]): HeaderLookup | undefined {
  const [first, second] = args;
  if (isMetadata(second)) return grpcLookup(second);
  const carrier = (isObject(second) ? second : {}) as Carrier;
  if (typeof carrier.getHeaders === 'function') return lookupIn(carrier.getHeaders());
  if (typeof carrier.getMessage === 'function') {
    const message = carrier.getMessage();
    return lookupIn(message?.properties?.headers ?? message?.headers);
  }
  if (typeof carrier.getPacket === 'function') {
    return lookupIn(carrier.getPacket()?.properties?.userProperties);
  }
  // A gRPC call that the handler reads by itself.
  const metadata = isObject(first) ? (first as Carrier).metadata : undefined;
  return isMetadata(metadata) ? grpcLookup(metadata) : undefined;
}

interface Metadata {
  get(key: string): unknown;
  getMap(): unknown;
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

const isMetadata = (value: unknown): value is Metadata =>
  isObject(value) &&
  typeof (value as Partial<Metadata>).get === 'function' &&
  typeof (value as Partial<Metadata>).getMap === 'function';

const grpcLookup =
  (metadata: Metadata): HeaderLookup =>
  (key) =>
    textOf(metadata.get(key));

interface Keyed {
  keys(): Iterable<string>;
  get(key: string): unknown;
}

const isKeyed = (value: object): value is Keyed =>
  typeof (value as Partial<Keyed>).keys === 'function' && typeof (value as Partial<Keyed>).get === 'function';

/** Header keys are written in any case, and what holds them asks for the right one. */
function lookupIn(headers: unknown): HeaderLookup {
  if (!isObject(headers)) return () => undefined;
  const keyed = isKeyed(headers) ? headers : new Map(Object.entries(headers));
  const keys = [...keyed.keys()];
  return (wanted) => {
    const key = keys.find((each) => each.toLowerCase() === wanted);
    return key === undefined ? undefined : textOf(keyed.get(key));
  };
}

function textOf(value: unknown): unknown {
  const first: unknown = Array.isArray(value) ? value[0] : value;
  return Buffer.isBuffer(first) ? first.toString('utf8') : first;
}
