import { Module } from '@nestjs/common';
import { BillingController } from './billing.controller';
import { globalEnhancers } from './global-enhancers';
import { Payments } from './payments';
import { ShippingController } from './shipping.controller';

@Module({ controllers: [BillingController], providers: [Payments, ...globalEnhancers('billing')] })
export class BillingModule {}

@Module({ controllers: [ShippingController], providers: globalEnhancers('shipping') })
export class ShippingModule {}
