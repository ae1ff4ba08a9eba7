import { Injectable } from '@nestjs/common';

/** Sends nothing either. */
@Injectable()
export class VendorNotifications {
  async sendVendorApproval(_vendorId: string, _ownerId: string) {}
}
