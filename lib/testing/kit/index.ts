export { EventsTestingModule, type EventsTestingOptions } from './events-testing.module';
export type { DeadLetteredEvent, EmittedEvent, FailedEvent, HandledEvent } from './event-records';
export { TestEvents } from './test-events';
export type { FailOnPurpose, TestOptions } from './test-options';
