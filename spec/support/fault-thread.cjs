/**
 * A service in a thread of its own, for tests that block its event loop. It handles `thing` with `{ block }`: so many
 * milliseconds in which nothing else runs. What it does goes to the parent: `{ ready }`, `{ run, id }`, `{ log, message }`.
 */
const { readFileSync } = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const { parentPort, workerData } = require('node:worker_threads');
const { transformSync } = require('@swc/core');

Module._extensions['.ts'] = (module, filename) => {
  const { code } = transformSync(readFileSync(filename, 'utf8'), {
    filename,
    module: { type: 'commonjs' },
    jsc: {
      target: 'es2022',
      parser: { syntax: 'typescript', decorators: true },
      transform: { legacyDecorator: true, decoratorMetadata: true },
    },
  });
  module._compile(code, filename);
};
require('reflect-metadata');
const lib = path.join(__dirname, '..', '..', 'lib');
const { createEventService } = require(path.join(lib, 'nest', 'index.ts'));
const { createNatsTransport } = require(path.join(lib, 'transports', 'nats', 'index.ts'));

const tell = (level) => (message) => parentPort.postMessage({ log: level, message });
const logger = { error: tell('error'), warn: tell('warn'), log: tell('log'), debug: tell('debug') };

async function main() {
  const { app, clusterId, url, ackWait } = workerData;
  const transport = createNatsTransport({ servers: [url], clusterId, app, ackWait, logger });
  const service = await createEventService({ appName: app, clusterId, transport }, logger);
  await service.subscribe(
    'thing',
    ({ block }, { id }) => {
      parentPort.postMessage({ run: id });
      if (block) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, block);
    },
    { name: 'h', concurrency: 1 },
  );
  parentPort.postMessage({ ready: true });
  parentPort.once('message', () => void service.drain().then(() => parentPort.close()));
}

void main();
