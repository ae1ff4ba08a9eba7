import { Injectable } from '@nestjs/common';
import { type EventContext, OnEvent } from '@venta/events';
import { narrator } from '../narrator';

/** Listens to everything, and so can tell who emitted what. */
@Injectable()
export class Journal {
  @OnEvent('>')
  record(event: object, context: EventContext) {
    narrator.emitted(event, context);
  }
}
