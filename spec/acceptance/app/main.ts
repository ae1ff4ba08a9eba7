/**
 * What an application does with the installed package, on the server of NATS_URL. The same source is compiled as CommonJS
 * beside Nest 11 and as ES modules beside Nest 12: relative imports end in `.js`, which both understand.
 *
 * A new scenario is a file in scenarios/ and a line here.
 */
import 'reflect-metadata';
import { runScenarios } from './scenario.js';
import { contracts } from './scenarios/contracts.js';
import { deadLetters } from './scenarios/dead-letters.js';
import { emitsAtShutdown } from './scenarios/emits-at-shutdown.js';
import { enhancers } from './scenarios/enhancers.js';
import { requestScope } from './scenarios/request-scope.js';
import { retry } from './scenarios/retry.js';
import { shutdown } from './scenarios/shutdown.js';
import { standAlone } from './scenarios/stand-alone.js';

const url = process.env['NATS_URL'];
if (url === undefined) throw new Error('NATS_URL is not set');

void runScenarios(
  [contracts, retry, deadLetters, requestScope, enhancers, standAlone, shutdown, emitsAtShutdown],
  url,
).then((passed) => {
  process.exitCode = passed ? 0 : 1;
});
