import { Controller, Get, Module, Param, UseFilters } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  DeadLetterService,
  EventsError,
  EventsExceptionFilter,
  EventService,
  EventsModule,
} from '@venta/events';
import { inspect } from 'node:util';
import { EVENTS_ERROR_CODES, type EventsErrorCode } from '../../lib/core/errors';
import { httpStatusOf } from '../../lib/core/http-status';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { silentLogger } from '../support/silent-logger';

@UseFilters(EventsExceptionFilter)
@Controller()
class AdminController {
  constructor(
    private readonly deadLetters: DeadLetterService,
    private readonly events: EventService,
  ) {}

  @Get('redrive/:id')
  redrive(@Param('id') id: string): unknown {
    return this.deadLetters.redrive(id);
  }

  @Get('emit/:name')
  emit(@Param('name') name: string): unknown {
    return this.events.emit(name, 1);
  }

  @Get('other')
  other(): never {
    throw new TypeError('mine');
  }
}

it('answers requests with the status of the error code', async () => {
  @Module({
    imports: [EventsModule.register({ appName: 'shop', url: 'memory://' })],
    controllers: [AdminController],
  })
  class AppModule {}
  const module = await Test.createTestingModule({ imports: [AppModule] })
    .setLogger(silentLogger)
    .compile();
  const app = module.createNestApplication();
  await app.listen(0, '127.0.0.1');
  try {
    const url = await app.getUrl();
    const get = async (place: string): Promise<unknown> => (await fetch(`${url}/${place}`)).json();
    expect(await get('redrive/7')).toEqual({
      statusCode: 404,
      code: 'no_dead_letter',
      message: expect.stringContaining("'7'") as string,
    });
    expect(await get('emit/a..b')).toMatchObject({ statusCode: 400, code: 'invalid_event_name' });
    expect(await get('emit/a.b')).toMatchObject({ duplicate: false });
    expect(await get('other')).toEqual({ statusCode: 500, message: 'Internal server error' });
  } finally {
    await app.close();
  }
});

it('has a status for each code, and docs/errors.md the same', () => {
  const page = readFileSync(path.join(__dirname, '../../docs/errors.md'), 'utf8');
  const documented = new Map<string, number>();
  for (const [, status, codes = ''] of page.matchAll(/^\| (\d{3}) +\| (.*) \|$/gm))
    for (const [, code = ''] of codes.matchAll(/`(\w+)`/g)) documented.set(code, Number(status));
  expect(Object.fromEntries(documented)).toEqual(
    Object.fromEntries(EVENTS_ERROR_CODES.map((code) => [code, httpStatusOf(code)])),
  );
  expect(httpStatusOf('of another version' as EventsErrorCode)).toBe(500);
  expect(new EventsError('closed', 'x')).toBeInstanceOf(Error);
});

it.each([
  ['register', (options: object) => EventsModule.register(options)],
  ['registerAsync', (options: object) => EventsModule.registerAsync({ useFactory: () => options })],
])('F78 printing the module or the application hides the options of %s', async (_, register) => {
  const secret = 'hunter2';
  const registered = register({
    appName: 'shop',
    url: 'memory://',
    connection: { user: 'shop', pass: secret },
  });
  expect(inspect(registered, { depth: Infinity, showHidden: true })).not.toContain(`'${secret}'`);
  const module = await Test.createTestingModule({ imports: [registered] })
    .setLogger(silentLogger)
    .compile();
  await module.init();
  expect(inspect(module, { depth: 12 })).not.toContain(secret);
  expect(inspect(module.get(EventsModule), { depth: Infinity, showHidden: true })).not.toContain(secret);
  await module.close();
});
