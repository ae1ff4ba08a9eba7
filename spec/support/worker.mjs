/**
 * A service in a process of its own, for tests that kill processes: a Nest application on the built library, `dist/`.
 * Its handlers do what the events tell them; what happens goes line by line into a journal, written at once, so that a
 * SIGKILL loses nothing of it. Options and events: `WorkerOptions` and `WorkerEvent` in worker-process.ts.
 *
 *   node spec/support/worker.mjs '<options as JSON>'
 */
import 'reflect-metadata';
import { openSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { Global, Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventsModule, NonRetryableError, OnEvent, RetryAfterError } from '@venta/events';

const { app, url, clusterId, journal, ackWait, layout, handlers, module } = JSON.parse(process.argv[2]);

const file = openSync(journal, 'a');
const note = (what, more) =>
  writeSync(file, `${JSON.stringify({ at: Date.now(), pid: process.pid, app, what, ...more })}\n`);

// Its parent is gone, however that ended: nobody is left to stop this.
process.on('disconnect', () => process.exit());

const logger = Object.fromEntries(
  ['error', 'warn', 'log', 'debug', 'verbose', 'fatal'].map((level) => [
    level,
    (message) => note('log', { level, message: String(message) }),
  ]),
);

class Database {
  open = true;

  query() {
    if (!this.open) throw new Error('the database is closed');
  }

  onModuleDestroy() {
    this.open = false;
    note('database closed');
  }
}
Injectable()(Database);

/** What a list says for this attempt; its last item counts for all further ones. */
const forAttempt = (list, attempt) => list[Math.min(attempt, list.length) - 1];

function handlerClass({ name, on, options }) {
  class Handler {
    constructor(database) {
      this.database = database;
    }

    async handle(event, context) {
      const { id, attempt } = context;
      const what = { id, name: context.name, handler: name, attempt };
      note('start', what);
      try {
        this.database?.query();
        await sleep(forAttempt([event.wait ?? 0].flat(), attempt));
        this.database?.query();
        const told = event.only === undefined || event.only === name;
        const action = told ? forAttempt(event.do ?? ['ok'], attempt) : 'ok';
        if (action === 'kill') {
          note('suicide', what);
          process.kill(process.pid, 'SIGKILL');
          // The signal may take a moment to arrive; nothing may happen in it.
          await new Promise(() => {});
        }
        if (action === 'mend' && Date.now() < context.time.getTime() + event.failsFor)
          throw new Error('not mended yet');
        if (action === 'fail') throw new Error('told to fail');
        if (action === 'reject') throw new NonRetryableError('told to reject');
        if (typeof action === 'number') throw new RetryAfterError(action);
      } catch (error) {
        note('fail', { ...what, message: error.message });
        throw error;
      }
      note('done', what);
    }
  }
  OnEvent(on, { name, ...options })(
    Handler.prototype,
    'handle',
    Object.getOwnPropertyDescriptor(Handler.prototype, 'handle'),
  );
  Injectable()(Handler);
  if (layout !== undefined) Inject(Database)(Handler, undefined, 0);
  return Handler;
}

function moduleClass(metadata) {
  class SomeModule {}
  Module(metadata)(SomeModule);
  return SomeModule;
}

async function transport() {
  if (ackWait === undefined) return {};
  // Not part of the public surface: reached by its path.
  const { createNatsTransport } = createRequire(import.meta.url)('../../dist/transports/nats/index.js');
  return { transport: createNatsTransport({ servers: url.split(','), clusterId, app, logger, ackWait }) };
}

/** Where the database is, seen from the events module: Nest's hooks run by the distance and the order of imports. */
function rootModule(events) {
  const providers = handlers.map(handlerClass);
  if (layout === undefined) return moduleClass({ imports: [events], providers });
  if (layout === 'in the root module') {
    return moduleClass({ imports: [events], providers: [...providers, Database] });
  }
  const database = moduleClass({ providers: [Database], exports: [Database] });
  if (layout === 'global') Global()(database);
  const features = moduleClass({ imports: layout === 'global' ? [] : [database], providers });
  switch (layout) {
    case 'before the events':
      return moduleClass({ imports: [database, events, features] });
    case 'after the events':
      return moduleClass({ imports: [events, features, database] });
    case 'global':
      return moduleClass({ imports: [features, database, events] });
    case 'far from the root':
      return moduleClass({
        imports: [moduleClass({ imports: [moduleClass({ imports: [features] })] }), events],
      });
    case 'near the root, events far':
      return moduleClass({
        imports: [database, features, moduleClass({ imports: [moduleClass({ imports: [events] })] })],
      });
    default:
      throw new Error(`unknown layout '${layout}'`);
  }
}

const events = EventsModule.register({ appName: app, url, clusterId, ...(await transport()), ...module });
const nest = await NestFactory.createApplicationContext(rootModule(events), { logger, abortOnError: false });
nest.enableShutdownHooks();
note('ready');
