import { randomUUID } from 'node:crypto';
import type { EventsModuleOptions } from '@venta/events';

/** One thing an application does with the package; it throws where that is not as promised. */
export interface Scenario {
  readonly name: string;
  run(options: EventsModuleOptions): Promise<void>;
}

/** A ceiling for machines that are busy; nothing here takes a second. */
const TIME_LIMIT_MS = 30_000;

/** @returns whether all went well; each has a cluster of its own on the server at `url` */
export async function runScenarios(scenarios: readonly Scenario[], url: string): Promise<boolean> {
  let passed = true;
  for (const scenario of scenarios) {
    const started = performance.now();
    const options = { appName: 'acceptance', clusterId: `acceptance-${randomUUID()}`, url };
    const failure = await within(TIME_LIMIT_MS, scenario.run(options)).then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.stack : String(error)),
    );
    const ms = (performance.now() - started).toFixed(0);
    process.stdout.write(`${failure === undefined ? 'ok    ' : 'FAILED'}  ${scenario.name}, ${ms} ms\n`);
    if (failure !== undefined) process.stdout.write(`${failure}\n`);
    passed &&= failure === undefined;
  }
  return passed;
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`is not done after ${ms} ms`)), ms);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}
