import './environment';
import { Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventsModule, EventService } from '@venta/events';
import { BootstrapModule } from '../venta/bootstrap.module';
import * as parts from './parts';
import {
  type CreateUserData,
  type UpdateUserData,
  type UserCreatedEvent,
  type UserUpdatedEvent,
  type VendorCreatedEvent,
} from './parts';

// The code of the module's specification, each line as it stands there, in that order. Added is only what it
// leaves out: the injected repositories and mailers, handleUserUpdated, and a class around the lines of "Publishing".

@Module({
  imports: [
    BootstrapModule.forRoot({
      appName: 'Your Service',
      protocol: 'grpc',
      additionalModules: [EventsModule.register({ appName: 'Your Service' })],
    }),
  ],
})
export class YourModule {}

@Injectable()
export class YourService {
  @Inject() private userRepository!: parts.UserRepository;

  constructor(private eventService: EventService) {}

  async createUser(userData: CreateUserData) {
    const user = await this.userRepository.create(userData);

    // Publish user created event
    await this.eventService.emit('user.created', {
      userId: user.id,
      email: user.email,
      timestamp: new Date(),
    });

    return user;
  }

  async updateUser(userId: string, updates: UpdateUserData) {
    const user = await this.userRepository.update(userId, updates);

    // Publish user updated event
    await this.eventService.emit('user.updated', {
      userId: user.id,
      changes: updates,
      timestamp: new Date(),
    });

    return user;
  }
}

@Injectable()
class Publishing {
  constructor(private eventService: EventService) {}

  async publish() {
    // Simple event
    await this.eventService.emit('user.login', {
      userId: 'user-123',
      timestamp: new Date(),
    });

    // Complex event with metadata
    await this.eventService.emit('vendor.created', {
      vendorId: 'vendor-456',
      name: 'Acme Corp',
      category: 'technology',
      ownerId: 'user-123',
      metadata: {
        source: 'api',
        version: '1.0',
      },
      timestamp: new Date(),
    });

    // Error event
    await this.eventService.emit('payment.failed', {
      userId: 'user-123',
      paymentId: 'payment-789',
      error: 'Insufficient funds',
      amount: 99.99,
      timestamp: new Date(),
    });
  }
}

@Injectable()
export class NotificationService {
  @Inject() private emailService!: parts.EmailService;
  @Inject() private notificationService!: parts.ApprovalService;
  @Inject() private outbox!: parts.Outbox;

  constructor(private eventService: EventService) {}

  async onModuleInit() {
    // Subscribe to user events
    await this.eventService.subscribe('user.created', this.handleUserCreated.bind(this));
    await this.eventService.subscribe('user.updated', this.handleUserUpdated.bind(this));

    // Subscribe to vendor events
    await this.eventService.subscribe('vendor.created', this.handleVendorCreated.bind(this));
  }

  private async handleUserCreated(event: UserCreatedEvent) {
    // Send welcome email
    await this.emailService.sendWelcomeEmail(event.userId, event.email);
  }

  private async handleVendorCreated(event: VendorCreatedEvent) {
    // Send vendor approval notification
    await this.notificationService.sendVendorApproval(event.vendorId, event.ownerId);
  }

  private async handleUserUpdated(event: UserUpdatedEvent) {
    const { userId, changes, timestamp } = event;
    this.outbox.put(
      `user.updated: ${userId} ${JSON.stringify(changes)}, a Date: ${timestamp instanceof Date}`,
    );
  }
}

@Module({
  imports: [YourModule],
  providers: [
    YourService,
    Publishing,
    NotificationService,
    parts.UserRepository,
    parts.EmailService,
    parts.ApprovalService,
    parts.Outbox,
  ],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'] });
  const service = app.get(YourService);
  const user = await service.createUser({ email: 'ada@example.com' });
  await service.updateUser(user.id, { email: 'ada@acme.example' });
  await app.get(Publishing).publish();
  for (const line of await app.get(parts.Outbox).wait(3)) process.stdout.write(`${line}\n`);
  await app.close();
}
void main();
