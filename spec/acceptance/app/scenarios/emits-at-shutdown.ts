import assert from 'node:assert/strict';
import {
  Global,
  Injectable,
  Module,
  type BeforeApplicationShutdown,
  type OnApplicationShutdown,
  type OnModuleDestroy,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventService, EventsModule } from '@venta/events';
import type { Scenario } from '../scenario.js';

declare module '@venta/events' {
  interface EventMap {
    'service.stops': { hook: string; state: string };
  }
}

const emitted: string[] = [];

@Injectable()
class Auditor implements OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown {
  constructor(private readonly events: EventService) {}

  onModuleDestroy(): Promise<void> {
    return this.emit('onModuleDestroy');
  }

  beforeApplicationShutdown(): Promise<void> {
    return this.emit('beforeApplicationShutdown');
  }

  onApplicationShutdown(): Promise<void> {
    return this.emit('onApplicationShutdown');
  }

  private async emit(hook: string): Promise<void> {
    const { duplicate } = await this.events.emit('service.stops', { hook, state: this.events.status.state });
    assert.equal(duplicate, false);
    emitted.push(`${hook} ${this.events.status.state}`);
  }
}

@Global()
@Module({ providers: [Auditor] })
class AuditModule {}

export const emitsAtShutdown: Scenario = {
  name: 'every shutdown hook of a global module emits, and then the service is closed',
  async run(options) {
    const module = { module: class AppModule {}, imports: [EventsModule.register(options), AuditModule] };
    const app = await NestFactory.createApplicationContext(module, { logger: false });
    await app.close();
    assert.deepEqual(emitted, [
      'onModuleDestroy draining',
      'beforeApplicationShutdown draining',
      'onApplicationShutdown draining',
    ]);
    assert.equal(app.get(EventService).status.state, 'closed');
  },
};
