import { Injectable } from '@nestjs/common';

export interface User {
  id: string;
  email: string;
  role?: string;
  lastLogin?: Date;
}

export type CreateUserData = Pick<User, 'email'>;
export type UpdateUserData = Partial<Pick<User, 'email' | 'role'>>;

@Injectable()
export class UserRepository {
  readonly #users = new Map<string, User>();

  async create(data: CreateUserData): Promise<User> {
    const user = { id: `user-${123 + this.#users.size}`, ...data };
    this.#users.set(user.id, user);
    return user;
  }

  async update(id: string, updates: Partial<User>): Promise<User> {
    const user = this.#users.get(id);
    if (user === undefined) throw new Error(`there is no user ${id}`);
    return Object.assign(user, updates);
  }
}
