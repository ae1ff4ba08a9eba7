import { Module } from '@nestjs/common';
import { EventsModule } from '@venta/events';
import { BootstrapModule } from '../bootstrap.module';
import { Ledger } from './ledger';
import { Owners } from './owners';
import { PaymentService } from './payment.service';
import { VendorService } from './vendor.service';

@Module({
  imports: [
    BootstrapModule.forRoot({
      appName: 'Vendor Service',
      protocol: 'grpc',
      additionalModules: [EventsModule.register({ appName: 'Vendor Service' })],
    }),
  ],
  providers: [VendorService, PaymentService, Owners, Ledger],
})
export class VendorServiceModule {}
