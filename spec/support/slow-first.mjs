/**
 * The order of the test files. What takes long comes first, so that no worker is idle at the end; Jest itself knows only
 * how large the files are until it has run them, and then starts those together that start many processes.
 */
import Sequencer from '@jest/test-sequencer';

/**
 * Files of `faults/process-*` start many processes and have to be done within bounds: between two of them there are some
 * that mostly wait.
 */
const FIRST = [
  // Measures the heap: in a worker that has run nothing else it takes a fifth of the time.
  'nest/scopes',
  'types/types',
  'types/large-map',
  'transports/memory/durable',

  'faults/process-kill',
  'faults/server-outage',
  'faults/server-cluster',
  'faults/process-deployment',
  'support/nats-server',
  'conformance/jetstream',
  'conformance/core-nats',
  'faults/process-shutdown',
  'conformance/memory',
  'faults/process-storm',
  'faults/server-access',
].map((name) => `/spec/${name}.spec.ts`);

export default class SlowFirst extends Sequencer {
  sort(tests) {
    const rank = ({ path }) => {
      const place = FIRST.findIndex((file) => path.replaceAll('\\', '/').endsWith(file));
      return place === -1 ? FIRST.length : place;
    };
    return super.sort(tests).sort((a, b) => rank(a) - rank(b));
  }
}
