import './environment';
import { setTimeout } from 'node:timers/promises';
import { type INestApplicationContext, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { narrator } from './narrator';
import { NotificationServiceModule } from './notification-service/notification-service.module';
import { StderrLogger } from './stderr-logger';
import { type Applications, tellLogin, tellStory } from './story';
import { UserServiceModule } from './user-service/user-service.module';
import { VendorServiceModule } from './vendor-service/vendor-service.module';

const WATCH = process.argv.includes('--watch');
const VERBOSE = process.argv.includes('--verbose');
const WATCH_INTERVAL_MS = 2_000;
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** Three services in one process. In production each is a process of its own, and nothing else changes. */
async function main(): Promise<number> {
  const started = performance.now();
  const interruption = new AbortController();
  let exitCode = 0;
  for (const [name, number] of Object.entries(SIGNALS)) {
    process.on(name, () => {
      if (interruption.signal.aborted) return; // a Ctrl-C comes from the terminal and from the parent process
      exitCode = 128 + number;
      interruption.abort(new Error(`interrupted by ${name}`));
    });
  }
  const { signal } = interruption;

  const running: INestApplicationContext[] = [];
  const start = async (module: Type): Promise<INestApplicationContext> => {
    signal.throwIfAborted();
    const options = { logger: new StderrLogger(VERBOSE), abortOnError: false };
    const application = await NestFactory.createApplicationContext(module, options);
    running.push(application);
    return application;
  };

  try {
    const applications: Applications = {
      'User Service': await start(UserServiceModule),
      'Vendor Service': await start(VendorServiceModule),
      'Notification Service': await start(NotificationServiceModule),
    };
    narrator.line(`Three services, connected to ${process.env.NATS_URL}\n`);
    await tellStory(applications, signal);
    if (WATCH) await watch(applications, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    // What is being handled is finished, then each service disconnects.
    for (const application of running.reverse()) await application.close();
  }
  narrator.line(`The services have stopped after ${Math.round(performance.now() - started)} ms.`);
  return exitCode;

  async function watch(applications: Applications, signal: AbortSignal): Promise<void> {
    narrator.line('Running until Ctrl-C.\n');
    try {
      for (;;) {
        await setTimeout(WATCH_INTERVAL_MS, undefined, { signal });
        await tellLogin(applications, signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
      exitCode = 0; // this is how it is meant to end
    }
  }
}

main().then(
  (exitCode) => (process.exitCode = exitCode),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    process.exitCode = 1;
  },
);
