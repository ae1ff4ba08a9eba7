import { Controller, Injectable, Module, Param, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventsModule, EventService, OnEvent, type EventContext } from '@venta/events';
import { ClsModule, ClsService, ClsServiceManager } from 'nestjs-cls';

// Where a correlation id comes from when events are emitted for a request: from its headers, without any code; from
// nestjs-cls, which the option `correlationId` asks first; else it is the event's own id. What handlers emit keeps it.

process.env.NATS_URL ??= 'memory://';

@Controller()
class UserController {
  constructor(
    private readonly events: EventService,
    private readonly cls: ClsService,
  ) {}

  @Post('users/:name')
  async create(@Param('name') name: string) {
    await this.events.emit('user.created', { name });
  }

  @Post('tickets/:ticket/users/:name')
  async createForTicket(@Param('ticket') ticket: string, @Param('name') name: string) {
    this.cls.set('ticket', ticket);
    await this.create(name);
  }
}

@Injectable()
class Mailer {
  constructor(private readonly events: EventService) {}

  @OnEvent('user.created')
  async welcome(event: { name: string }, context: EventContext) {
    console.log(`user.created ${event.name}: ${origin(context)}`);
    await this.events.emit('mail.sent', { to: event.name });
  }
}

@Injectable()
class Journal {
  arrived = () => {};

  @OnEvent('mail.sent')
  note(event: { to: string }, context: EventContext) {
    console.log(`   mail.sent ${event.to}: ${origin(context)}`);
    this.arrived();
  }
}

const origin = ({ correlationId, headers }: EventContext) =>
  `${correlationId}${headers['traceparent'] === undefined ? '' : ', in a trace'}`;

@Module({
  imports: [
    ClsModule.forRoot({ global: true, middleware: { mount: true } }),
    EventsModule.register({
      appName: 'users',
      correlationId: () => ClsServiceManager.getClsService().get<string | undefined>('ticket'),
    }),
  ],
  controllers: [UserController],
  providers: [Mailer, Journal],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.create(AppModule, { logger: ['warn', 'error'] });
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();

  const post = async (path: string, headers: Record<string, string> = {}) => {
    const mail = new Promise<void>((resolve) => (app.get(Journal).arrived = resolve));
    await fetch(`${url}${path}`, { method: 'POST', headers });
    await mail;
  };
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  await post('/users/ada', { 'x-correlation-id': 'case-1', traceparent });
  await post('/users/bob', { traceparent });
  await post('/tickets/ticket-7/users/eve', { 'x-correlation-id': 'case-2' });
  await post('/users/joe');

  await app.close();
}
void main();
