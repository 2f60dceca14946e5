import 'reflect-metadata';
import type { ArgumentsHost, CallHandler, CanActivate, ExecutionContext, NestInterceptor, PipeTransform } from '@nestjs/common';
import { Catch, Controller, Injectable, Module, Scope, UseFilters, UseGuards, UseInterceptors, UsePipes } from '@nestjs/common';
import { Ctx, EventPattern, MessagePattern, NatsContext, Payload, RpcException } from '@nestjs/microservices';
import type { RpcExceptionFilter } from '@nestjs/common';
import { DiptychError } from '@diptych/kernel';
import { from, interval, map, NEVER, Observable, of, throwError } from 'rxjs';

import type { DiptychContext } from '../../src/nest/index.js';

/** What an application looks like that knows nothing of its transport: each case of the conformance suite has a handler here. */
@Injectable()
class DoublePipe implements PipeTransform<number, number> {
  transform(value: number): number {
    if (typeof value !== 'number') throw new RpcException('a number is wanted');
    return value * 2;
  }
}

@Injectable()
class DenyGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToRpc().getData<{ allowed?: boolean }>().allowed === true;
  }
}

@Injectable()
class WrapInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { name } = context.getHandler();
    return next.handle().pipe(map((value: unknown) => ({ wrapped: value, by: name })));
  }
}

@Catch(RangeError)
class RangeErrorFilter implements RpcExceptionFilter<RangeError> {
  catch(exception: RangeError, host: ArgumentsHost): Observable<never> {
    return throwError(() => ({ filtered: exception.message, data: host.switchToRpc().getData<unknown>() }));
  }
}

/** What tests look at. Of the process, so of the test that runs. */
export const seen = {
  events: [] as unknown[],
  others: [] as unknown[],
  contexts: [] as unknown[],
  unsubscribed: 0,
  aborted: [] as unknown[],
  hold: new Map<string, (value: unknown) => void>(),
  waiting: 0,
  clear() {
    this.events.length = this.others.length = this.contexts.length = this.aborted.length = 0;
    this.unsubscribed = this.waiting = 0;
    this.hold.clear();
  },
};

@Controller()
class OrdersController {
  @MessagePattern('orders.value')
  value(@Payload() data: unknown): unknown {
    return { given: data };
  }

  @MessagePattern('orders.field')
  field(@Payload('name') name: unknown): unknown {
    return name ?? 'none';
  }

  @MessagePattern('orders.promise')
  async promise(@Payload() data: number): Promise<number> {
    return Promise.resolve(data + 1);
  }

  @MessagePattern('orders.observable')
  observable(@Payload() data: number): Observable<number> {
    return of(data + 2);
  }

  @MessagePattern('orders.several')
  several(@Payload() count: number): Observable<number> {
    return from(Array.from({ length: count }, (_, i) => i));
  }

  @MessagePattern('orders.ticks')
  ticks(@Payload() count: number): Observable<number> {
    return interval(2).pipe(
      (source) =>
        new Observable((subscriber) => {
          const inner = source.subscribe((i) => (i < count ? subscriber.next(i) : subscriber.complete()));
          return () => {
            seen.unsubscribed++;
            inner.unsubscribe();
          };
        }),
    );
  }

  @MessagePattern('orders.empty')
  empty(): Observable<never> {
    return from([]);
  }

  @MessagePattern('orders.nothing')
  nothing(): void {}

  @MessagePattern('orders.null')
  null(): null {
    return null;
  }

  @MessagePattern('orders.never')
  never(): Observable<never> {
    return new Observable<never>((subscriber) => {
      seen.waiting++;
      const inner = NEVER.subscribe(subscriber);
      return () => {
        seen.unsubscribed++;
        inner.unsubscribe();
      };
    });
  }

  @MessagePattern('orders.late-never')
  async lateNever(): Promise<Observable<never>> {
    await new Promise((resolve) => seen.hold.set('late', resolve));
    return this.never();
  }

  @MessagePattern('orders.hold')
  hold(@Payload() id: string): Promise<unknown> {
    return new Promise((resolve) => seen.hold.set(id, resolve));
  }

  @MessagePattern('orders.await-signal')
  awaitSignal(@Payload() id: string, @Ctx() context: NatsContext): Promise<unknown> {
    const { signal } = context as DiptychContext;
    seen.waiting++;
    return new Promise((resolve) => {
      signal.addEventListener('abort', () => {
        seen.aborted.push(`${id} ${(signal.reason as DiptychError).code}`);
        resolve('aborted');
      });
    });
  }

  /** Of sizes that travel in company and of sizes that travel alone, in turns. */
  @MessagePattern('orders.mixed')
  mixed(@Payload() count: number): Observable<string> {
    return from(Array.from({ length: count }, (_, i) => `${i} `.padEnd(i % 3 === 0 ? 20_000 : 3, 'x')));
  }

  @MessagePattern('orders.repeat')
  repeat(@Payload() count: number): string {
    return 'x'.repeat(count);
  }

  @MessagePattern('orders.rpc-large')
  rpcLarge(): never {
    throw new RpcException({ text: 'x'.repeat(100_000) });
  }

  @MessagePattern('orders.rpc-code')
  rpcCode(): never {
    throw new RpcException({ code: 'NOT_FOUND', message: 'no such order' });
  }

  @MessagePattern('orders.fail-late')
  failLate(@Payload() count: number): Observable<number> {
    return new Observable((subscriber) => {
      for (let i = 0; i < count; i++) subscriber.next(i);
      subscriber.error(new RpcException('enough'));
    });
  }

  @MessagePattern({ cmd: 'sum', version: 2 })
  sum(@Payload() numbers: number[]): number {
    return numbers.reduce((total, number) => total + number, 0);
  }

  @MessagePattern(42)
  numeric(): string {
    return 'numeric';
  }

  @MessagePattern(['orders.either', 'orders.or'])
  either(): string {
    return 'either';
  }

  @MessagePattern('wild.*.price')
  wild(@Payload() data: unknown, @Ctx() context: NatsContext): unknown {
    return { subject: context.getSubject(), data };
  }

  @UsePipes(DoublePipe)
  @MessagePattern('orders.piped')
  piped(@Payload() data: number): number {
    return data;
  }

  @UseGuards(DenyGuard)
  @MessagePattern('orders.guarded')
  guarded(): string {
    return 'allowed';
  }

  @UseInterceptors(WrapInterceptor)
  @MessagePattern('orders.intercepted')
  intercepted(@Payload() data: unknown): unknown {
    return data;
  }

  @UseFilters(RangeErrorFilter)
  @MessagePattern('orders.filtered')
  filtered(): never {
    throw new RangeError('out of range');
  }

  @MessagePattern('orders.rpc-text')
  rpcText(): never {
    throw new RpcException('no stock');
  }

  @MessagePattern('orders.rpc-object')
  rpcObject(): never {
    throw new RpcException({ code: 'E_STOCK', left: 3, nested: { sku: 'a' } });
  }

  @MessagePattern('orders.unknown')
  unknown(): never {
    throw new Error('a secret');
  }

  @MessagePattern('orders.diptych-error')
  diptychError(): never {
    throw new DiptychError('CONFLICT', 'the condition does not hold');
  }

  @MessagePattern('orders.context')
  context(@Ctx() context: NatsContext): unknown {
    seen.contexts.push(context);
    const headers = context.getHeaders() as { get(name: string): string } | undefined;
    return { subject: context.getSubject(), tenant: headers?.get('tenant') ?? null };
  }

  @EventPattern('orders.created')
  created(@Payload() data: unknown, @Ctx() context: unknown): void {
    seen.contexts.push(context);
    seen.events.push(data);
  }

  @EventPattern('orders.created')
  createdToo(@Payload() data: unknown): void {
    seen.others.push(data);
  }

  @EventPattern('orders.failing')
  failing(@Payload() _data: unknown): void {
    seen.events.push('failing');
    throw new RpcException('of an event');
  }

  @EventPattern('orders.shared', { queue: 'shared' })
  shared(@Payload() data: unknown): void {
    seen.events.push(data);
  }

  @EventPattern('orders.slow')
  slow(@Payload() id: string): Promise<void> {
    return new Promise((resolve) => seen.hold.set(id, () => resolve(void seen.events.push(id))));
  }
}

/** Made anew for each message. */
@Controller({ scope: Scope.REQUEST })
class ScopedController {
  readonly #number = ++made;

  @MessagePattern('orders.scoped')
  scoped(): number {
    return this.#number;
  }
}

let made = 0;

@Module({ controllers: [OrdersController, ScopedController] })
export class OrdersModule {}
