import { Injectable } from '@nestjs/common';

/** The payment provider, which does not always answer. */
@Injectable()
export class Payments {
  readonly #failures = new Map<string, number>();
  readonly charged: string[] = [];

  fail(orderId: string, times = Infinity): void {
    this.#failures.set(orderId, times);
  }

  repair(): void {
    this.#failures.clear();
  }

  async charge(orderId: string): Promise<void> {
    const left = this.#failures.get(orderId) ?? 0;
    this.#failures.set(orderId, left - 1);
    if (left > 0) throw new Error('the payment provider does not answer');
    this.charged.push(orderId);
  }
}
