import { Injectable } from '@nestjs/common';
import { OnEvent } from '@venta/events';
import { type UserCreatedEvent, type UserUpdatedEvent } from '../events';
import { Narrated } from '../narrated.decorator';

/** What this service has to know of users: its own copy, kept up to date by their events. */
@Injectable()
export class Owners {
  readonly #emails = new Map<string, string>();

  @OnEvent('user.created')
  @Narrated('Vendor Service', ({ userId }: UserCreatedEvent) => `keeps a copy of ${userId}`)
  add(event: UserCreatedEvent) {
    this.#emails.set(event.userId, event.email);
  }

  @OnEvent('user.updated')
  @Narrated('Vendor Service', ({ userId }: UserUpdatedEvent) => `brings its copy of ${userId} up to date`)
  update(event: UserUpdatedEvent) {
    if (event.changes.email !== undefined) this.#emails.set(event.userId, event.changes.email);
  }
}
