import { Scope, type FactoryProvider, type Type } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { EventsConfigurationError } from '../core/errors';
import { EventService } from '../core/event-service';

// Two copies of this package can be installed side by side; by the symbols each knows what belongs to the other.
const REGISTRATION = Symbol.for('@venta/events/registration');
/** The `EventService` classes of all copies in this process, one each. Shared on purpose, and only ever grows with a copy. */
const SERVICES = Symbol.for('@venta/events/services');

const shared = globalThis as { [SERVICES]?: Set<Type> };
const services = (shared[SERVICES] ??= new Set());
services.add(EventService);

/** Makes modules that provide `type` count as registrations, for every copy. */
export const markRegistration = (type: object): void =>
  void Object.defineProperty(type, REGISTRATION, { value: true });

/** The module classes of the registrations in an application, by whatever copy. */
export const registrations = (modules: ModulesContainer): unknown[] =>
  [...modules.values()]
    .filter(({ providers }) => [...providers.keys()].some(isRegistration))
    .map(({ metatype }) => metatype);

const isRegistration = (token: unknown): boolean =>
  typeof token === 'function' && Object.hasOwn(token, REGISTRATION);

/** Stand in for the services of other copies: whoever injects one is told why it is not there. Made only when injected. */
export const servicesOfOtherCopies = (): FactoryProvider[] =>
  [...services]
    .filter((type) => type !== (EventService as unknown))
    .map((provide) => ({
      provide,
      scope: Scope.TRANSIENT,
      useFactory: () => {
        throw new EventsConfigurationError(
          'register',
          'the EventService of another copy of @venta/events is injected than the one whose EventsModule is registered: two ' +
            `copies of the package are installed. ${ONE_COPY}`,
        );
      },
    }));

export const ONE_COPY =
  '`npm ls @venta/events` shows them; make it a peer dependency of your libraries, so that the application has one';
