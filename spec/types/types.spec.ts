import { readdirSync } from 'node:fs';
import path from 'node:path';
import { buildLibrary } from '../support/worker-build';
import { COMPILERS, DeclarationsReader } from './compilers';

// A program takes seconds to check.
jest.setTimeout(120_000);

// `EventMap` is augmented for a whole program, so that each case needs one of its own: a folder.
const programs = readdirSync(__dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

const filesOf = (program: string): string[] =>
  readdirSync(path.join(__dirname, program))
    .filter((file) => file.endsWith('.ts'))
    .map((file) => path.join(__dirname, program, file));

const MAP = `
  import { OnEvent, type EventService } from '@venta/events';
  interface UserCreated { userId: string; email: string }
  interface OrderPaid { amount: number }
  declare module '@venta/events' {
    interface EventMap { 'user.created': UserCreated; 'order.paid': OrderPaid; 'order.sent': { at: Date } }
  }
  declare const events: EventService;
`;

beforeAll(buildLibrary);

it('has programs to look at', () => {
  expect(programs).toEqual(
    expect.arrayContaining([
      'contracts-list',
      'contracts-record',
      'generics',
      'json',
      'loose',
      'map',
      'names',
      'testing',
    ]),
  );
});

describe.each([...COMPILERS])('TypeScript %s', (version, compiler) => {
  let reader: DeclarationsReader;
  beforeAll(() => {
    reader = new DeclarationsReader(compiler);
  });

  it('is that version', () => {
    expect(compiler.versionMajorMinor).toBe(version);
  });

  it.each(programs)('compiles what the program "%s" says, and nothing else', (program) => {
    expect(reader.judge(filesOf(program))).toBe('');
  });

  it('accepts the declarations without skipLibCheck', () => {
    expect(reader.judgeDeclarations()).toBe('');
  });

  describe('says what is wrong', () => {
    const judge = (code: string): string => reader.judgeText(MAP + code);

    it('with nothing, when nothing is', () => {
      expect(judge(`class Handlers { @OnEvent('order.*') take(_: OrderPaid | { at: Date }): void {} }`)).toBe(
        '',
      );
    });

    it('with the parameter of a handler, naming what it receives', () => {
      const said = judge(
        `class Handlers { @OnEvent('user.created') take(event: { userId: number }): void {} }`,
      );
      expect(said).toContain(
        `'(event: { userId: number; }) => void' is not assignable to type 'EventHandler<UserCreated, NamedEventContext<"user.created", UserCreated>>'`,
      );
      // TypeScript 5.4 ends here.
      const more = [
        `Types of parameters 'event' and 'event' are incompatible`,
        `Types of property 'userId' are incompatible`,
        `Type 'string' is not assignable to type 'number'`,
      ];
      if (version !== '5.4') for (const line of more) expect(said).toContain(line);
    });

    it('with the parameter of a wildcard handler, naming the union that it receives', () => {
      const said = judge(`class Handlers { @OnEvent('order.*') take(event: OrderPaid): void {} }`);
      expect(said).toContain(
        `'(event: OrderPaid) => void' is not assignable to type 'EventHandler<OrderPaid | { at: Date; }, NamedEventContext<`,
      );
      const more = `Property 'amount' is missing in type '{ at: Date; }' but required in type 'OrderPaid'`;
      if (version !== '5.4') expect(said).toContain(more);
    });

    it('with the handler that is subscribed', () => {
      const said = judge(`void events.subscribe('order.paid', (event: { amount: string }) => event);`);
      expect(said).toContain(
        `is not assignable to parameter of type 'EventHandler<OrderPaid, NamedEventContext<"order.paid", OrderPaid>>'`,
      );
      expect(said).toContain(`Type 'number' is not assignable to type 'string'`);
    });

    it.each([
      [`class Handlers { @OnEvent('user.craeted') take(): void {} }`, 'user.craeted'],
      [`class Handlers { @OnEvent('user.craeted', { concurrency: 1 }) take(): void {} }`, 'user.craeted'],
      [`class Handlers { @OnEvent('vendor.*') take(): void {} }`, 'vendor.*'],
      [`void events.subscribe('vendor.>', () => {});`, 'vendor.>'],
    ])('with a name or a pattern that matches no event: %s', (code, pattern) => {
      expect(judge(code)).toContain(`NoEventMatches<"${pattern}">`);
    });

    it.each([
      [`class Handlers { @OnEvent('user.craeted') take(): void {} }`, '"user.created"'],
      [
        `class Handlers { @OnEvent(['user.created', 'order.pad']) take(): void {} }`,
        '"order.paid" | "order.sent"',
      ],
      [`class Handlers { @OnEvent('ordr.paid') take(): void {} }`, '"order.paid"'],
      [`void events.subscribe('vendor.>', () => {});`, '"user.created" | "order.paid" | "order.sent"'],
    ])('with the events that may have been meant: %s', (code, candidates) => {
      expect(judge(code)).toContain(`DidYouMean<${candidates}>`);
    });

    it('with the place of what JSON cannot carry', () => {
      const said = judge(`
        declare module '@venta/events' { interface EventMap { 'cart.filled': { items: { ids?: Set<string> }[] } } }
        void events.emit('cart.filled', { items: [] });
      `);
      expect(said).toContain(`CannotBeEmitted<"/items/*/ids is a Set">`);
    });

    it('with the name that is emitted, listing those there are', () => {
      expect(judge(`void events.emit('user.craeted', { amount: 1 });`)).toContain(
        `'"user.craeted"' is not assignable to parameter of type '"user.created" | "order.paid" | "order.sent" | `,
      );
    });

    it('with the data that is emitted', () => {
      expect(judge(`void events.emit('order.paid', { amount: '1' });`)).toContain(
        `Type 'string' is not assignable to type 'number'`,
      );
    });
  });
});
