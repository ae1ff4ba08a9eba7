import { Injectable } from '@nestjs/common';

/** What the document's code takes for granted: data, and services that do nothing but tell. */

export type CreateUserData = { email: string };
export type UpdateUserData = { email?: string };

export interface UserCreatedEvent {
  userId: string;
  email: string;
  timestamp: Date;
}

export interface UserUpdatedEvent {
  userId: string;
  changes: UpdateUserData;
  timestamp: Date;
}

export interface VendorCreatedEvent {
  vendorId: string;
  ownerId: string;
  metadata: { source: string; version: string };
  timestamp: Date;
}

@Injectable()
export class UserRepository {
  async create(data: CreateUserData) {
    return { id: 'user-123', ...data };
  }

  async update(id: string, _updates: UpdateUserData) {
    return { id };
  }
}

/** Handlers of one step run at the same time; what they told is printed when all have, in a fixed order. */
@Injectable()
export class Outbox {
  readonly #lines: string[] = [];
  #arrived = (): void => {};

  put(line: string) {
    this.#lines.push(line);
    this.#arrived();
  }

  /** Resolves with the lines, sorted, when there are that many. */
  async wait(count: number): Promise<string[]> {
    while (this.#lines.length < count) await new Promise<void>((resolve) => (this.#arrived = resolve));
    return this.#lines.sort();
  }
}

@Injectable()
export class EmailService {
  constructor(private readonly outbox: Outbox) {}

  async sendWelcomeEmail(userId: string, email: string) {
    this.outbox.put(`user.created: welcome mail for ${userId} to ${email}`);
  }
}

@Injectable()
export class ApprovalService {
  constructor(private readonly outbox: Outbox) {}

  async sendVendorApproval(vendorId: string, ownerId: string) {
    this.outbox.put(`vendor.created: approval of ${vendorId} for ${ownerId}`);
  }
}
