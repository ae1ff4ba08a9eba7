export { EventsClient } from './bridge/events-client';
export { EventsDeserializer } from './bridge/events-deserializer';
export { createEventService } from './create-event-service';
export { EventsModule, type EventsModuleAsyncOptions, type EventsOptionsFactory } from './events.module';
export { OnEvent, type EventHandlerDecorator, type OnEventOptions } from './on-event.decorator';
export type { ConnectionOptions, EventsModuleOptions, StreamOptions } from './options/options';
