import { type EventContext } from '@venta/events';
import { narrator, type ServiceName } from './narrator';

type Method<E> = (event: E, context: EventContext) => unknown;
type Narrator<E> = <H extends (event: E) => unknown>(
  target: object,
  key: string,
  descriptor: TypedPropertyDescriptor<H>,
) => void;

/** Tells what becomes of each attempt of a handler, and leaves the handler itself as it is. Below `@OnEvent`. */
export function Narrated<E>(service: ServiceName, what: (event: E) => string): Narrator<E> {
  return (_target, _key, descriptor) => {
    const method = descriptor as TypedPropertyDescriptor<unknown>;
    const handle = method.value as Method<E>;
    const narrated: Method<E> = async function (this: unknown, event, context) {
      try {
        await handle.call(this, event, context);
      } catch (error) {
        narrator.failed(service, context, (error as Error).message);
        throw error;
      }
      narrator.handled(service, context, what(event));
    };
    method.value = narrated;
  };
}
