import { Body, Controller, Inject, Injectable, Post, Scope } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { type ClientProxy, EventPattern, Payload } from '@nestjs/microservices';
import { EventService, OnEvent, type EventContext } from '@venta/events';
import { Type as Revived } from 'class-transformer';
import { IsDate, IsPositive, IsString } from 'class-validator';
import { ClsServiceManager } from 'nestjs-cls';
import { lastValueFrom } from 'rxjs';

/** The data of every event, and of the requests. */
export class Step {
  @IsString() id!: string;
  @IsPositive() amount!: number;
  @Revived(() => Date) @IsDate() at!: Date;
}

type Headers = Record<string, string | undefined>;
type AnyRequest = { headers: Headers } | { getContext(): EventContext };

/** As in any application with tenants: whatever is asked for works on the data of the one that the request names. */
@Injectable({ scope: Scope.REQUEST })
export class Repository {
  constructor(@Inject(REQUEST) private readonly request: AnyRequest) {}

  get tenant(): string | undefined {
    const { headers } = 'getContext' in this.request ? this.request.getContext() : this.request;
    return headers['x-tenant'];
  }
}

/** What a handler sees while it runs. */
export interface Seen {
  readonly handler: string;
  readonly correlation: string;
  readonly tenant: unknown;
  readonly repository: string | undefined;
  readonly step: Step;
}

@Injectable()
export class Journal {
  readonly seen: Seen[] = [];
  /** Names of events whose handlers fail the next time. */
  readonly failing = new Set<string>();

  write(handler: string, step: Step, repository?: Repository): void {
    if (this.failing.delete(handler)) throw new Error(`${handler} fails`);
    const cls = ClsServiceManager.getClsService<{ tenant: string }>();
    const [correlation, tenant] = [cls.getId(), cls.get('tenant')];
    this.seen.push({ handler, correlation, tenant, repository: repository?.tenant, step });
  }
}

/** Five handlers that have moved to `@OnEvent`, of a class that is made for each event. */
export function movedHandlers(of: string) {
  @Injectable()
  class Moved {
    constructor(
      readonly journal: Journal,
      readonly repository: Repository,
      readonly events: EventService,
    ) {}

    @OnEvent(`${of}.placed`)
    placed(step: Step) {
      return this.go('placed', 'checked', step);
    }
    @OnEvent(`${of}.checked`)
    checked(step: Step) {
      return this.go('checked', 'priced', step);
    }
    @OnEvent(`${of}.priced`)
    priced(step: Step) {
      return this.go('priced', 'reserved', step);
    }
    @OnEvent(`${of}.reserved`)
    reserved(step: Step) {
      return this.go('reserved', 'paid', step);
    }
    @OnEvent(`${of}.paid`)
    paid(step: Step) {
      return this.go('paid', 'packed', step);
    }

    async go(verb: string, next: string, step: Step): Promise<void> {
      this.journal.write(`${of}.${verb}`, step, this.repository);
      await this.events.emit(`${of}.${next}`, step);
    }
  }
  return Moved;
}

/** Five that have not, beside a route, and what they emit with. */
export function plainController(of: string) {
  @Controller()
  class Plain {
    /** Injected by the controllers that want it. */
    readonly repository?: Repository;

    constructor(
      readonly journal: Journal,
      @Inject('EVENTS') readonly client: ClientProxy,
    ) {}

    @Post(of)
    place(@Body() step: Step) {
      return lastValueFrom(this.client.emit<unknown>(`${of}.placed`, step));
    }

    @EventPattern(`${of}.packed`)
    packed(@Payload() step: Step) {
      return this.go('packed', 'shipped', step);
    }
    @EventPattern(`${of}.shipped`)
    shipped(@Payload() step: Step) {
      return this.go('shipped', 'delivered', step);
    }
    @EventPattern(`${of}.delivered`)
    delivered(@Payload() step: Step) {
      return this.go('delivered', 'invoiced', step);
    }
    @EventPattern(`${of}.invoiced`)
    invoiced(@Payload() step: Step) {
      return this.go('invoiced', 'archived', step);
    }
    @EventPattern(`${of}.archived`)
    archived(@Payload() step: Step) {
      this.journal.write(`${of}.archived`, step, this.repository);
    }

    async go(verb: string, next: string, step: Step): Promise<void> {
      this.journal.write(`${of}.${verb}`, step, this.repository);
      await lastValueFrom(this.client.emit(`${of}.${next}`, step));
    }
  }
  return Plain;
}
