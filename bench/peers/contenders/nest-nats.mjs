/**
 * Nest's own NATS transport, at most once. What it is made of is given, since two versions of it are compared: this file
 * imports no package.
 */
import { inBursts } from '../../contenders/bursts.mjs';
import { handOver } from '../../contenders/raw-headers.mjs';
import { EVENT_NAME, eventOf } from '../../harness/event.mjs';
import { attributesOf } from './attributes.mjs';

/** @param {{ common: object, core: object, microservices: object, rxjs: object, headers: () => object }} parts */
export function nestNats({ common, core, microservices, rxjs, headers }) {
  const { ClientProxyFactory, NatsRecordBuilder, Transport } = microservices;
  return {
    async publisher({ url, name }) {
      const client = ClientProxyFactory.create({
        transport: Transport.NATS,
        options: { servers: [url] },
      });
      await client.connect();
      const emit = (index, more) => {
        const written = headers();
        for (const [key, value] of Object.entries(attributesOf(EVENT_NAME))) written.set(key, value);
        const record = new NatsRecordBuilder(eventOf(index, more)).setHeaders(written).build();
        return rxjs.lastValueFrom(client.emit(`${name}.${EVENT_NAME}`, record), { defaultValue: undefined });
      };
      let pending = [];
      const send = (index) => void pending.push(emit(index));
      const flush = async () => {
        const sent = pending;
        pending = [];
        await Promise.all(sent);
        await client.unwrap().flush();
      };
      return { publish: (count) => inBursts(count, send, flush), emit, close: () => client.close() };
    },

    async subscriber({ url, name, options }, handled) {
      const { Controller, Module, UseInterceptors } = common;
      const { Ctx, EventPattern, Payload } = microservices;
      class Handlers {
        async handle(event, context) {
          handOver(handled, event, context.getHeaders());
        }
      }
      class PassThrough {
        intercept(_context, next) {
          return next.handle();
        }
      }
      const method = [Handlers.prototype, 'handle'];
      Reflect.defineMetadata('design:paramtypes', [Object, Object], ...method);
      Payload()(...method, 0);
      Ctx()(...method, 1);
      const descriptor = Object.getOwnPropertyDescriptor(...method);
      EventPattern(`${name}.${EVENT_NAME}`)(...method, descriptor);
      if (options.interceptor) UseInterceptors(new PassThrough())(...method, descriptor);
      Controller()(Handlers);
      class Application {}
      Module({ controllers: [Handlers] })(Application);
      const app = await core.NestFactory.createMicroservice(Application, {
        transport: microservices.Transport.NATS,
        options: { servers: [url], queue: 'bench' },
        logger: ['warn', 'error'],
      });
      await app.listen();
      return { close: () => app.close() };
    },
  };
}
