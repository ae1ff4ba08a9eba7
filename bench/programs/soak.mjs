/**
 * A Nest application that emits and handles events, some of them by a handler that fails at first and some by a handler
 * that is made for each event. After each step it tells what is in the process. What does not add up ends it.
 */
import 'reflect-metadata';
import { Inject, Injectable, Module, Scope } from '@nestjs/common';
import { NestFactory, REQUEST } from '@nestjs/core';
import { DeadLetterService, EventsModule, EventService, OnEvent } from '@venta/events';
import assert from 'node:assert/strict';
import { eventOf, indexOf } from '../harness/event.mjs';
import { inFlight } from '../harness/in-flight.mjs';
import { present } from '../harness/present.mjs';
import { told } from '../harness/told.mjs';

const { url, clusterId, events, steps } = JSON.parse(process.argv[2]);

const EMITS_AT_ONCE = 256;
/** Emitted before all of them are handled: few enough for a memory broker to keep. */
const BATCH = 5_000;

const SCOPED = 'soak.scoped';
const FRAGILE = 'soak.fragile';
const PLAIN = 'soak.plain';
const nameOf = (index) => (index % 10 === 0 ? SCOPED : index % 100 === 5 ? FRAGILE : PLAIN);
/** One of a hundred that the handler gets. */
const failsAtFirst = (index) => index % 1_000 === 0 || nameOf(index) === FRAGILE;

/** Which events each handler has to handle, and whether some of their first attempts fail. */
const HANDLERS = {
  'Every.handle': { takes: () => true, fails: () => false },
  'Fragile.handle': { takes: (index) => nameOf(index) === FRAGILE, fails: failsAtFirst },
  'Scoped.handle': { takes: (index) => nameOf(index) === SCOPED, fails: failsAtFirst },
};

class FirstAttempt extends Error {}

/** How often each event was handled, in an array of its own, so that counting leaves nothing in the heap. */
const ledgers = Object.fromEntries(Object.keys(HANDLERS).map((name) => [name, new Uint8Array(events)]));
let open = 0;
let complete;

/** Some of what is made for one event, and is to go with it. */
const made = new Set();
const MADE_EVERY = 10;

function handled(handler, event, context, ...instances) {
  const index = indexOf(event);
  if (index % MADE_EVERY === 0) {
    for (const each of [context, context.signal, ...instances]) made.add(new WeakRef(each));
  }
  if (context.attempt === 1 && HANDLERS[handler].fails(index))
    throw new FirstAttempt('the first attempt fails');
  ledgers[handler][index]++;
  if (--open === 0) complete();
}

class Every {
  async handle(event, context) {
    handled('Every.handle', event, context);
  }
}
class Fragile {
  async handle(event, context) {
    handled('Fragile.handle', event, context);
  }
}
class Scoped {
  constructor(request) {
    this.request = request;
  }
  async handle(event, context) {
    assert.equal(this.request.id, context.id);
    handled('Scoped.handle', event, context, this);
  }
}
listening(Every, 'soak.*');
listening(Fragile, FRAGILE);
listening(Scoped, SCOPED);
Injectable({ scope: Scope.REQUEST })(Scoped);
Inject(REQUEST)(Scoped, undefined, 0);

function listening(type, pattern) {
  OnEvent(pattern)(type.prototype, 'handle', Object.getOwnPropertyDescriptor(type.prototype, 'handle'));
}

const complaints = [];
const complain = (message) => {
  if (!String(message).includes('the first attempt fails')) complaints.push(String(message));
};
// Of too many listeners, too.
process.on('warning', complain);

class Application {}
const options = { appName: 'soak', url, clusterId, retry: { attempts: 3, delay: 10, jitter: 0 } };
Module({ imports: [EventsModule.register(options)], providers: [Every, Fragile, Scoped] })(Application);
const app = await NestFactory.createApplicationContext(Application, {
  logger: { error: complain, warn: complain, log() {}, debug() {} },
});
const service = app.get(EventService);

const count = (from, to, matches) => {
  let sum = 0;
  for (let index = from; index < to; index++) if (matches(index)) sum++;
  return sum;
};

async function batch(from, to) {
  open = Object.values(HANDLERS).reduce((sum, { takes }) => sum + count(from, to, takes), 0);
  const completed = new Promise((resolve) => (complete = resolve));
  await inFlight(to - from, EMITS_AT_ONCE, (i) => service.emit(nameOf(from + i), eventOf(from + i)));
  await completed;
}

for (let step = 0; step < steps; step++) {
  const [from, to] = [step, step + 1].map((each) => Math.round((each * events) / steps));
  for (let at = from; at < to; at += BATCH) await batch(at, Math.min(at + BATCH, to));
  const found = await present();
  const kept = [...made].filter((each) => each.deref() !== undefined).length;
  made.clear();
  await told({ step: { events: to, ...found, kept } });
}

for (const [name, { takes, fails }] of Object.entries(HANDLERS)) {
  const wrong = ledgers[name].findIndex((times, index) => times !== (takes(index) ? 1 : 0));
  assert.equal(wrong, -1, `${name} handled event ${wrong} ${ledgers[name][wrong]} times`);
  const { running, succeeded, retried, deadLettered } = service.status.subscriptions.find(
    (each) => each.name === name,
  );
  assert.deepEqual(
    { running, succeeded, retried, deadLettered },
    {
      running: 0,
      succeeded: count(0, events, takes),
      retried: count(0, events, (index) => takes(index) && fails(index)),
      deadLettered: 0,
    },
    name,
  );
}
assert.deepEqual(await app.get(DeadLetterService).count(), []);
assert.deepEqual(service.status.problems, []);
assert.deepEqual(complaints, []);
const retried = service.status.subscriptions.reduce((sum, each) => sum + each.retried, 0);
await told({ step: undefined, retried });
await app.close();
// A timer that was left behind is to fail its gate, not to hold this process.
process.exit();
