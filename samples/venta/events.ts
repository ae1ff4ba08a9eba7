/** The events of the system, named resource.action. */

export interface UserCreatedEvent {
  userId: string;
  email: string;
  timestamp: Date;
}

export interface UserUpdatedEvent {
  userId: string;
  changes: { email?: string; role?: string };
  timestamp: Date;
}

export interface UserLoginEvent {
  userId: string;
  timestamp: Date;
}

export interface VendorCreatedEvent {
  vendorId: string;
  name: string;
  category: string;
  ownerId: string;
  metadata: { source: string; version: string };
  timestamp: Date;
}

export interface PaymentFailedEvent {
  userId: string;
  paymentId: string;
  error: string;
  amount: number;
  timestamp: Date;
}
