import { Module } from '@nestjs/common';
import { EventsModule } from '@venta/events';
import { BootstrapModule } from '../bootstrap.module';
import { EmailService } from './email.service';
import { Journal } from './journal';
import { NotificationService } from './notification.service';
import { PaymentAlerts } from './payment-alerts';
import { VendorNotifications } from './vendor-notifications';

@Module({
  imports: [
    BootstrapModule.forRoot({
      appName: 'Notification Service',
      protocol: 'grpc',
      additionalModules: [EventsModule.register({ appName: 'Notification Service' })],
    }),
  ],
  providers: [NotificationService, PaymentAlerts, Journal, EmailService, VendorNotifications],
})
export class NotificationServiceModule {}
