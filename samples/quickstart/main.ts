import { setTimeout } from 'node:timers/promises';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventsModule, EventService, OnEvent, type EventContext } from '@venta/events';

type UserCreated = { userId: string; email: string; timestamp: Date };

@Injectable()
class UserService {
  constructor(private readonly events: EventService) {}

  async create(email: string) {
    await this.events.emit('user.created', { userId: 'user-123', email, timestamp: new Date() });
    console.log(`stored: user.created for ${email}`);
  }
}

@Injectable()
class Notifications {
  @OnEvent('user.created')
  async welcome(event: UserCreated, context: EventContext) {
    console.log(`handled: ${context.name}, attempt ${context.attempt}: welcome, ${event.email}!`);
  }
}

@Module({
  imports: [EventsModule.register({ appName: 'Quickstart', url: 'memory://' })],
  providers: [UserService, Notifications],
})
class AppModule {}

async function main() {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'] });
  await app.get(UserService).create('ada@example.com');
  await setTimeout(1_000); // a service would stay; this one closes after a second
  await app.close();
}
void main();
