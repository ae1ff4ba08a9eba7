/**
 * A Nest application with generated handlers, started once. Of `mode` 'with' it has the module; 'without' it has not, but
 * has loaded the package; 'bare' it does not know of it.
 */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { monotonic } from '../harness/monotonic.mjs';
import { told } from '../harness/told.mjs';

const METHODS_PER_CLASS = 10;
const { mode, url, clusterId, handlers, stay = false } = JSON.parse(process.argv[2]);

const beforeLoading = monotonic();
const ours = mode === 'bare' ? undefined : await import('@venta/events');
const loading = monotonic() - beforeLoading;

const classes = Array.from({ length: handlers / METHODS_PER_CLASS }, (_, index) => handlersClass(index));
let hookedAt;
class Root {
  onApplicationBootstrap() {
    hookedAt = monotonic();
  }
}
Module({
  imports: mode === 'with' ? [ours.EventsModule.register({ appName: 'bench', url, clusterId })] : [],
  providers: classes,
})(Root);

const faultsBefore = faults();
const beforeStart = monotonic();
const app = await NestFactory.createApplicationContext(Root, { logger: ['error'] });
const startedAt = monotonic();
const faulted = faults() - faultsBefore;
global.gc();
const { rss, heapUsed: heap } = process.memoryUsage();
await told({
  loading: loading / 1e3,
  start: (startedAt - beforeStart) / 1e3,
  // The module's own hook comes after everybody else's.
  bind: (startedAt - hookedAt) / 1e3,
  faults: faulted,
  // After the memory has been measured, of which it takes some itself.
  perFault: priceOfFaults(),
  rss,
  heap,
});
if (stay) {
  const cpu = process.cpuUsage();
  await told({ idle: true });
  const { user, system } = process.cpuUsage(cpu);
  await told({ idleCpu: user + system });
}
await app.close();
process.disconnect();

/** Pages of memory that this process touched for the first time. */
function faults() {
  return process.resourceUsage().minorPageFault;
}

/** What one of them takes, in microseconds: memory that was never used before, one byte of each page. */
function priceOfFaults() {
  const memory = Buffer.allocUnsafeSlow(8 * 2 ** 20);
  const before = faults();
  const start = monotonic();
  for (let at = 0; at < memory.length; at += 4096) memory[at] = 1;
  const took = monotonic() - start;
  return took / (faults() - before);
}

function handlersClass(index) {
  const type = { [`Handlers${index}`]: class {} }[`Handlers${index}`];
  for (let i = 0; i < METHODS_PER_CLASS; i++) {
    const name = `handle${i}`;
    const descriptor = { value: async () => {}, writable: true, configurable: true };
    Object.defineProperty(type.prototype, name, descriptor);
    ours?.OnEvent(`bench${index}.happened${i}`)(type.prototype, name, descriptor);
  }
  return type;
}
