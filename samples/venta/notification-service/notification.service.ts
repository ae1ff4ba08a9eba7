import { Injectable } from '@nestjs/common';
import { EventService } from '@venta/events';
import { type UserCreatedEvent, type UserUpdatedEvent, type VendorCreatedEvent } from '../events';
import { Narrated } from '../narrated.decorator';
import { EmailService } from './email.service';
import { VendorNotifications } from './vendor-notifications';

@Injectable()
export class NotificationService {
  constructor(
    private eventService: EventService,
    private emailService: EmailService,
    private notificationService: VendorNotifications,
  ) {}

  async onModuleInit() {
    // Subscribe to user events
    await this.eventService.subscribe('user.created', this.handleUserCreated.bind(this));
    await this.eventService.subscribe('user.updated', this.handleUserUpdated.bind(this));

    // Subscribe to vendor events
    await this.eventService.subscribe('vendor.created', this.handleVendorCreated.bind(this));
  }

  @Narrated('Notification Service', ({ email }: UserCreatedEvent) => `sends a welcome mail to ${email}`)
  private async handleUserCreated(event: UserCreatedEvent) {
    // Send welcome email
    await this.emailService.sendWelcomeEmail(event.userId, event.email);
  }

  @Narrated('Notification Service', ({ userId }: UserUpdatedEvent) => `mails ${userId} what has changed`)
  private async handleUserUpdated(event: UserUpdatedEvent) {
    await this.emailService.sendProfileChanged(event.userId, event.changes);
  }

  @Narrated('Notification Service', ({ vendorId }: VendorCreatedEvent) => `sends the approval of ${vendorId}`)
  private async handleVendorCreated(event: VendorCreatedEvent) {
    // Send vendor approval notification
    await this.notificationService.sendVendorApproval(event.vendorId, event.ownerId);
  }
}
