import { Injectable, mixin } from '@nestjs/common';
import { transformSync } from '@swc/core';
import { EventsConfigurationError, EventService, OnEvent } from '@venta/events';
import { runInThisContext } from 'node:vm';
import { applications } from '../support/applications';

const { start, compile, logger } = applications();

type Class = new () => { on(): void };

/** Makes its method `on` a handler. */
function handling(type: Class, event = 'user.created', options = {}): Class {
  const descriptor = Object.getOwnPropertyDescriptor(type.prototype, 'on') as PropertyDescriptor;
  OnEvent(event, { ...options, decorated: true })(type.prototype as object, 'on', descriptor);
  return type;
}

/** The last expression of the code, after a semicolon and a space, is the list of its classes. */
const evaluated = (code: string): Class[] => {
  const at = code.lastIndexOf('; [');
  return runInThisContext(`(() => { ${code.slice(0, at)}; return ${code.slice(at + 2)} })()`) as Class[];
};

const failureOf = async (...types: Class[]): Promise<unknown> => {
  const app = await compile({
    providers: types.map((useClass, i) => ({ provide: `handler ${i}`, useClass })),
  });
  return app.init().then(
    async () => {
      await app.close();
      return undefined;
    },
    (error: unknown) => error,
  );
};

const named = (name: string): Class => {
  class Handlers {
    on(): void {}
  }
  Object.defineProperty(Handlers, 'name', { value: name });
  return Handlers;
};

const MINIFIED = transformSync(
  'globalThis.minified = (() => { class Handlers { on(e) { return e; } } class Others { on() {} } return () => [Handlers, Others]; })();',
  { jsc: { minify: { compress: true, mangle: true }, target: 'es2022' }, minify: true, isModule: false },
).code;
const minified = (): Class[] => (runInThisContext(MINIFIED) as () => Class[])();

describe('F35 a handler named after a class whose name does not last', () => {
  it.each<[string, () => Class[], RegExp]>([
    [
      'has no name',
      () => [
        (() =>
          class {
            on(): void {}
          })(),
      ],
      /no name of its own/,
    ],
    ['was minified', minified, /a minifier made/],
    ['was minified to a variable', () => evaluated('var t=class{on(){}}; [t]'), /a minifier made/],
    ['was minified to three characters', () => evaluated('var aX3=class{on(){}}; [aX3]'), /a minifier made/],
    [
      'is a mixin of Nest',
      () => [
        mixin(
          class {
            on(): void {}
          },
        ),
      ],
      /a random name/,
    ],
    ['has a UUID in its name', () => [named('H_7d444840-9dc0-11d1-b245-5ffdce74fad2')], /a random name/],
    ['is the default export', () => [named('default')], /no name of its own/],
    ['was numbered by Rollup', () => [named('Handlers$1')], /a bundler numbered/],
    [
      'has a static method `name`',
      () => evaluated('class Handlers {\n static name() { return 1; }\n on() {}\n}; [Handlers]'),
      /static member `name` that is no text/,
    ],
    [
      'was numbered by esbuild',
      () =>
        evaluated(
          'var Handlers = class {\n on() {}\n};\nvar Handlers2 = class {\n on() {}\n}; [Handlers, Handlers2]',
        ),
      /same name as another but for a number \(Handlers, Handlers2\)/,
    ],
    [
      'was numbered by esbuild after TypeScript',
      () =>
        evaluated(
          'var Handlers = class Handlers2 {\n on() {}\n};\nvar Handlers3 = class Handlers4 {\n on() {}\n}; [Handlers, Handlers3]',
        ),
      /same name as another but for a number \(Handlers2, Handlers4\)/,
    ],
  ])('fails the start and asks for `name` when it %s', async (_title, make, reason) => {
    const types = make().map((type, i) => handling(type, `user.event${i}`));
    const error = await failureOf(...types);
    expect(error).toBeInstanceOf(EventsConfigurationError);
    expect(error).toMatchObject({ option: 'name', message: expect.stringMatching(reason) as string });
    expect((error as Error).message).toMatch(/needs a `name`.*@OnEvent\('user\.event\d'.*keepNames/);
  });

  it.each<[string, () => Class[]]>([
    ['has a static text `name`', () => evaluated("class X {\n static name = 'Fixed';\n on() {}\n}; [X]")],
    ['has a time in its name', () => [named('Handlers1764556800000')]],
    ['is short and looks like a word', () => evaluated('var Job=class{on(){}}; [Job]')],
    [
      'may have been numbered',
      () => evaluated('class Jobs {\n on() {}\n}\nclass Jobs2 {\n on() {}\n}; [Jobs, Jobs2]'),
    ],
  ])('is warned of when it %s', async (_title, make) => {
    expect(await failureOf(...make().map((type, i) => handling(type, `user.event${i}`)))).toBeUndefined();
    await logger.until('warn', /needs a `name`/);
  });

  it.each<[string, () => Class[]]>([
    ['is an ordinary class', () => [named('Handlers')]],
    ['is a short class of a person', () => evaluated('class A {\n on() {}\n}; [A]')],
    [
      'was minified with its name kept',
      () => [...evaluated('var t=class{on(){}};Object.defineProperty(t,"name",{value:"Handlers"}); [t]')],
    ],
    [
      'is one of classes that a person numbered',
      () => evaluated('class Job1 {\n on() {}\n}\nclass Job2 {\n on() {}\n}; [Job1, Job2]'),
    ],
    [
      'has a version',
      () => evaluated('class JobV2 {\n on() {}\n}\nclass JobV4 {\n on() {}\n}; [JobV2, JobV4]'),
    ],
  ])('is bound without a word when it %s', async (_title, make) => {
    expect(await failureOf(...make().map((type, i) => handling(type, `user.event${i}`)))).toBeUndefined();
    expect(logger.complaints).toBe('');
  });

  it('is not asked for a name that it has', async () => {
    const [first, second] = minified() as [Class, Class];
    Injectable()(first);
    const app = await start({
      providers: [
        { provide: 'a', useClass: handling(first, 'user.created', { name: 'first' }) },
        { provide: 'b', useClass: handling(second, 'user.created', { name: 'second' }) },
      ],
    });
    expect(app.get(EventService).status.subscriptions.map(({ name }) => name)).toEqual(['first', 'second']);
  });
});
