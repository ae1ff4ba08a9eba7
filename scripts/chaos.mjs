/**
 * Kills servers and services under load and compares the stream with what was handled; see spec/chaos/. Sets itself up.
 *
 *   npm run chaos -- [--seconds 45] [--seed N] [--server newest|oldest] [--nodes 1|3]
 */
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { findServers } from './nats-server.mjs';
import { setup } from './setup.mjs';

const require = createRequire(import.meta.url);
const say = (line) => process.stderr.write(`${line}\n`);

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '45' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    server: { type: 'string', default: process.env.NATS_SERVER_UNDER_TEST || 'newest' },
    nodes: { type: 'string', default: '1' },
  },
});
const nodes = Number(values.nodes);
const [seconds, seed] = [Number(values.seconds), Number(values.seed)];
if (!(seconds >= 5 && seconds <= 3600)) throw new Error('--seconds must be a number from 5 to 3600');
if (!Number.isSafeInteger(seed) || seed < 0) throw new Error('--seed must be a whole number');
if (nodes !== 1 && nodes !== 3) throw new Error('--nodes must be 1 or 3');
if (values.server !== 'newest' && values.server !== 'oldest')
  throw new Error('--server must be newest or oldest');

await setup();
const servers = await findServers({ need: 'matrix', log: say });
process.env.NATS_SERVER_UNDER_TEST_BIN = servers[values.server].path;
say(`nats-server ${servers[values.server].version}`);

// The tests' own harness is TypeScript.
const { transformFileSync } = require('@swc/core');
require.extensions['.ts'] = (module, file) => {
  const { code } = transformFileSync(file, {
    jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
    module: { type: 'commonjs' },
    sourceMaps: 'inline',
  });
  module._compile(code, file);
};
process.setSourceMapsEnabled(true);
const { chaos } = require('../spec/chaos/chaos.ts');
process.exit((await chaos({ seconds, seed, nodes, say })) ? 0 : 1);
