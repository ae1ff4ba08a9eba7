import { buildLibrary } from '../support/worker-build';
import { COMPILERS, DeclarationsReader } from './compilers';

jest.setTimeout(120_000);

// A project of 500 events, 200 emits, 200 handlers, 20 subscriptions and 20 wildcards.
const RESOURCES = Array.from({ length: 50 }, (_, i) => `resource${i}`);
const ACTIONS = [
  ...['created', 'updated', 'deleted', 'archived', 'restored', 'moved', 'renamed', 'shared'],
  ...['address.changed', 'payment.method.added'],
];
const NAMES = RESOURCES.flatMap((resource) => ACTIONS.map((action) => `${resource}.${action}`));
const WILDCARDS = [
  ...RESOURCES.slice(0, 10).map((resource) => `${resource}.*`),
  ...ACTIONS.slice(0, 8).map((action) => `*.${action}`),
  ...['resource4.>', '>'],
];

const typeOf = (name: string): string => `Event${NAMES.indexOf(name)}`;
/** Some of the names, all over the list. */
const some = (count: number, step: number): string[] =>
  Array.from({ length: count }, (_, i) => NAMES[(i * step) % NAMES.length] as string);
const lines = <T>(values: readonly T[], line: (value: T, index: number) => string): string =>
  values.map(line).join('\n');

const MAP = `declare module '@venta/events' { interface EventMap {
  ${lines(NAMES, (name) => `'${name}': ${typeOf(name)};`)}
} }`;

const PROJECT = `
  import { EventService, OnEvent, type EventContext } from '@venta/events';
  ${lines(NAMES, (name, i) => `interface ${typeOf(name)} { id: string; at: Date; by: { userId: string }; field${i}: number }`)}
  export class Emitters {
    constructor(private readonly events: EventService) {}
    ${lines(some(200, 7), (name, i) => `emit${i}(data: ${typeOf(name)}) { return this.events.emit('${name}', data); }`)}
    ${lines(some(20, 13), (name, i) => `subscribe${i}() { return this.events.subscribe('${name}', (event: ${typeOf(name)}) => event.id); }`)}
    many(data: Event0) { return this.events.emitMany([{ name: '${NAMES[0]}', data }]); }
  }
  export class Handlers {
    ${lines(some(200, 11), (name, i) => `@OnEvent('${name}') handle${i}(event: ${typeOf(name)}, _: EventContext) { void event.at; }`)}
    ${lines(WILDCARDS, (pattern, i) => `@OnEvent('${pattern}') wildcard${i}(event: { id: string; at: Date }) { void event.at; }`)}
  }
`;

beforeAll(buildLibrary);

/**
 * Above what the project needs (123,000 at most when this was written), far below the 2,700,000 of a map whose every name
 * is compared with every pattern, token by token.
 */
const INSTANTIATIONS = 300_000;

describe.each([...COMPILERS])('500 events, TypeScript %s', (version, compiler) => {
  it('are checked in little more time than none', () => {
    const reader = new DeclarationsReader(compiler);
    // The first program also makes the compiler itself warm.
    reader.measure(PROJECT);
    const without = reader.measure(PROJECT);
    const typed = reader.measure(PROJECT + MAP);
    process.stderr.write(
      `TypeScript ${version}, processor time: ${without.seconds.toFixed(2)} s without a map, ${typed.seconds.toFixed(2)} s with 500 events; ` +
        `instantiations ${without.instantiations} and ${typed.instantiations}, types ${without.types} and ${typed.types}\n`,
    );
    expect([without.said, typed.said]).toEqual(['', '']);
    expect(typed.instantiations - without.instantiations).toBeLessThan(INSTANTIATIONS);
    expect(typed.types - without.types).toBeLessThan(15_000);
  });
});
