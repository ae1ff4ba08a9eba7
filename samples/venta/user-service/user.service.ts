import { Injectable } from '@nestjs/common';
import { EventService, OnEvent } from '@venta/events';
import { type UserLoginEvent, type VendorCreatedEvent } from '../events';
import { Narrated } from '../narrated.decorator';
import { type CreateUserData, type UpdateUserData, UserRepository } from './user.repository';

@Injectable()
export class UserService {
  constructor(
    private eventService: EventService,
    private userRepository: UserRepository,
  ) {}

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

  async login(userId: string) {
    await this.eventService.emit('user.login', {
      userId,
      timestamp: new Date(),
    });
  }

  @OnEvent('user.login')
  @Narrated('User Service', ({ userId }: UserLoginEvent) => `notes the last login of ${userId}`)
  async noteLogin(event: UserLoginEvent) {
    await this.userRepository.update(event.userId, { lastLogin: event.timestamp });
  }

  /** Emits in turn: the user.updated carries the correlation id of the vendor.created, and names it as its cause. */
  @OnEvent('vendor.created')
  @Narrated('User Service', ({ ownerId }: VendorCreatedEvent) => `makes ${ownerId} a vendor`)
  async promoteOwner(event: VendorCreatedEvent) {
    await this.updateUser(event.ownerId, { role: 'vendor' });
  }
}
