/**
 * An HTTP service in a process of its own, on the built library, with the grace period of `@nestjs/terminus`. It tells its
 * parent what happens.
 *
 *   fork('spec/support/http-program.mjs', [url, clusterId])
 */
import 'reflect-metadata';
import { Controller, Inject, Injectable, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import { EventsModule, EventService } from '@venta/events';

const [url, clusterId] = process.argv.slice(2);
process.on('disconnect', () => process.exit());

let release;
const released = new Promise((resolve) => (release = resolve));
process.on('message', () => release());

const decorated = (decorators, type) => {
  for (const decorator of decorators) decorator(type);
  Inject(EventService)(type, undefined, 0);
  return type;
};

const Orders = decorated(
  [Controller()],
  class {
    constructor(events) {
      this.events = events;
    }
    async slow() {
      process.send({ what: 'slow request' });
      await released;
      return this.events.emit('order.placed', { by: 'slow' });
    }
    quick() {
      return this.events.emit('order.placed', { by: 'quick' });
    }
  },
);
for (const name of ['slow', 'quick'])
  Post(name)(Orders.prototype, name, Object.getOwnPropertyDescriptor(Orders.prototype, name));

const Hooks = decorated(
  [Injectable()],
  class {
    constructor(events) {
      this.events = events;
    }
    async #emit(by) {
      await this.events.emit('order.placed', { by });
      process.send({ what: by });
    }
    onModuleDestroy() {
      return this.#emit('onModuleDestroy');
    }
    beforeApplicationShutdown() {
      return this.#emit('beforeApplicationShutdown');
    }
    onApplicationShutdown() {
      return this.#emit('onApplicationShutdown');
    }
  },
);

class AppModule {}
Module({
  imports: [
    TerminusModule.forRoot({ gracefulShutdownTimeoutMs: 500, logger: false }),
    EventsModule.register({ appName: 'http', url, clusterId }),
  ],
  controllers: [Orders],
  providers: [Hooks],
})(AppModule);

const app = await NestFactory.create(AppModule, { logger: false, abortOnError: false });
app.enableShutdownHooks();
await app.listen(0, '127.0.0.1');
process.send({ what: 'ready', port: app.getHttpServer().address().port });
