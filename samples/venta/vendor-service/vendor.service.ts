import { Injectable } from '@nestjs/common';
import { EventService } from '@venta/events';

@Injectable()
export class VendorService {
  constructor(private eventService: EventService) {}

  async createVendor(vendor: { name: string; category: string; ownerId: string }) {
    await this.eventService.emit('vendor.created', {
      vendorId: 'vendor-456',
      ...vendor,
      metadata: {
        source: 'api',
        version: '1.0',
      },
      timestamp: new Date(),
    });
  }
}
