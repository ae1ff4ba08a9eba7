import { Injectable } from '@nestjs/common';

/** Sends nothing; can be out of order for a while. */
@Injectable()
export class EmailService {
  #failures = 0;

  /** The next mails that fail. */
  failNext(mails: number) {
    this.#failures = mails;
  }

  async sendWelcomeEmail(_userId: string, _email: string) {
    this.#send();
  }

  async sendProfileChanged(_userId: string, _changes: object) {
    this.#send();
  }

  async sendPaymentFailed(_userId: string, _error: string) {
    this.#send();
  }

  #send() {
    if (this.#failures === 0) return;
    this.#failures--;
    throw new Error('the mail server is busy');
  }
}
