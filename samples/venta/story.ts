import { type INestApplicationContext } from '@nestjs/common';
import { EventService, type EventServiceStatus } from '@venta/events';
import { setTimeout } from 'node:timers/promises';
import { narrator, type ServiceName } from './narrator';
import { EmailService } from './notification-service/email.service';
import { UserService } from './user-service/user.service';
import { PaymentService } from './vendor-service/payment.service';
import { VendorService } from './vendor-service/vendor.service';

export type Applications = Record<ServiceName, INestApplicationContext>;

const ADA = 'user-123';
const POLL_MS = 10;

/** What happens, and what each thing that happens leads to. */
export async function tellStory(applications: Applications, signal: AbortSignal): Promise<void> {
  const users = applications['User Service'].get(UserService);
  const vendors = applications['Vendor Service'].get(VendorService);
  const payments = applications['Vendor Service'].get(PaymentService);
  const mail = applications['Notification Service'].get(EmailService);

  await narrator.step('Ada signs up', signal, () => users.createUser({ email: 'ada@example.com' }), [
    'User Service emits user.created',
    'Notification Service handles user.created',
    'Vendor Service handles user.created',
  ]);

  await tellLogin(applications, signal);

  const acme = { name: 'Acme Corp', category: 'technology', ownerId: ADA };
  await narrator.step(
    'Ada opens a shop: a handler emits in turn, the correlation id is inherited',
    signal,
    () => vendors.createVendor(acme),
    [
      'Vendor Service emits vendor.created',
      'Notification Service handles vendor.created',
      'User Service handles vendor.created',
      'User Service emits user.updated',
      'Notification Service handles user.updated',
      'Vendor Service handles user.updated',
    ],
  );

  mail.failNext(2);
  await narrator.step(
    'Ada changes her address: one handler fails twice and is retried, the other runs once',
    signal,
    () => users.updateUser(ADA, { email: 'ada@acme.example' }),
    [
      'User Service emits user.updated',
      'Vendor Service handles user.updated',
      'Notification Service fails user.updated (attempt 1)',
      'Notification Service fails user.updated (attempt 2)',
      'Notification Service handles user.updated (attempt 3)',
    ],
  );

  await narrator.step(
    'A payment fails, and one handler never succeeds: after its attempts the event is a dead letter',
    signal,
    async () => {
      await payments.charge(ADA, 99.99);
      await until(() => statusOf(applications['Vendor Service'], 'Ledger.book').deadLettered === 1, signal);
      narrator.gaveUp('Vendor Service', 'payment.failed', 'the event becomes a dead letter of Ledger.book');
    },
    [
      'Vendor Service emits payment.failed',
      'Notification Service handles payment.failed',
      'Vendor Service fails payment.failed (attempt 1)',
      'Vendor Service fails payment.failed (attempt 2)',
      'Vendor Service fails payment.failed (attempt 3)',
      'Vendor Service fails payment.failed (attempt 4)',
      'Vendor Service gives up payment.failed',
    ],
  );

  await tellCounts(applications, signal);
}

export async function tellLogin(applications: Applications, signal: AbortSignal): Promise<void> {
  const users = applications['User Service'].get(UserService);
  await narrator.step('Ada logs in', signal, () => users.login(ADA), [
    'User Service emits user.login',
    'User Service handles user.login',
  ]);
}

/** What each service says of its handlers. */
async function tellCounts(applications: Applications, signal: AbortSignal): Promise<void> {
  narrator.title('What the services have counted');
  narrator.line(`   ${' '.repeat(47)}  succeeded  retried  dead letters`);
  for (const [service, application] of Object.entries(applications)) {
    // An event is counted when its handler has returned, a moment after the handler has told of it.
    await until(() => handlersOf(application).every(({ running }) => running === 0), signal);
    const handlers = [...handlersOf(application)].sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const { name, succeeded, retried, deadLettered } of handlers) {
      const counts = `${String(succeeded).padStart(9)}  ${String(retried).padStart(7)}  ${String(deadLettered).padStart(12)}`;
      narrator.line(`   ${service.padEnd(20)}  ${name.padEnd(25)}  ${counts}`);
    }
  }
  narrator.line('');
}

const handlersOf = (application: INestApplicationContext): EventServiceStatus['subscriptions'] =>
  application.get(EventService).status.subscriptions;

function statusOf(application: INestApplicationContext, handler: string) {
  const status = handlersOf(application).find(({ name }) => name === handler);
  if (status === undefined) throw new Error(`there is no handler ${handler}`);
  return status;
}

/** Counters tell no one when they change: they are there to be read, by a health check for one. */
async function until(condition: () => boolean, signal: AbortSignal): Promise<void> {
  while (!condition()) await setTimeout(POLL_MS, undefined, { signal });
}
