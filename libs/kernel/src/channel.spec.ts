import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { within } from './call-context.js';
import { Channel } from './channel.js';
import { DeadlineWheel } from './deadline-wheel.js';
import { isDiptychError } from './errors.js';
import { FakeClock } from './testing/index.js';

/** Drawn and printed by the run; set it to repeat one. */
const seed = Number(process.env['DIPTYCH_SEED']);

/** What became of a promise, once all that waits for nothing outside has settled. */
async function outcome(promise: Promise<unknown>): Promise<unknown> {
  let result: unknown = 'waits';
  promise.then(
    (value) => (result = value),
    (error: unknown) => (result = error),
  );
  await new Promise((resolve) => setImmediate(resolve));
  return result;
}

describe('a buffered channel', () => {
  it('the 17th sender of a burst waits on a channel of 16, until a value is taken', async () => {
    const channel = new Channel<number>({ capacity: 16 });
    const sends = Array.from({ length: 17 }, (_, index) => channel.send(index + 1));
    expect(await outcome(Promise.all(sends.slice(0, 16)))).toHaveLength(16);
    expect(await outcome(sends[16]!)).toBe('waits');
    expect([channel.length, channel.waitingSenders]).toEqual([16, 1]);
    expect(await channel.receive()).toEqual({ done: false, value: 1 });
    expect(await outcome(sends[16]!)).toBeUndefined();
    expect([channel.length, channel.waitingSenders]).toEqual([16, 0]);
  });

  it('gives out values, undefined among them, in the order of their sends, whoever had to wait', async () => {
    const channel = new Channel<number | undefined>({ capacity: 2 });
    const sends = [1, undefined, 3, undefined, 5].map((value) => channel.send(value));
    const received = [];
    for (let count = 0; count < sends.length; count++) received.push((await channel.receive()).value);
    expect(received).toEqual([1, undefined, 3, undefined, 5]);
    await Promise.all(sends);
  });

  it('serves waiting receivers in the order they came', async () => {
    const channel = new Channel<string>({ capacity: 4 });
    const receivers = [channel.receive(), channel.receive(), channel.receive()];
    for (const value of ['a', 'b', 'c']) expect(channel.trySend(value)).toBe(true);
    expect((await Promise.all(receivers)).map(({ value }) => value)).toEqual(['a', 'b', 'c']);
    expect(channel.length).toBe(0);
  });

  it('refuses one waiter more than its bounds, on both sides', async () => {
    const channel = new Channel<number>({ capacity: 1, sendersMax: 2, receiversMax: 2 });
    const sends = [channel.send(1), channel.send(2), channel.send(3)];
    await expect(channel.send(4)).rejects.toMatchObject({ code: 'OVERLOADED', definite: true });
    for (const value of [1, 2, 3]) expect(channel.tryReceive()).toEqual({ value });
    await Promise.all(sends);
    const receivers = [channel.receive(), channel.receive()];
    await expect(channel.receive()).rejects.toMatchObject({ code: 'OVERLOADED' });
    channel.close();
    expect(await Promise.all(receivers)).toEqual([
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);
  });
});

describe('a channel of capacity 0', () => {
  it('is a rendezvous: a send ends when its receiver has come', async () => {
    const channel = new Channel<string>({ capacity: 0 });
    expect(channel.trySend('nobody is here')).toBe(false);
    const send = channel.send('hello');
    expect(await outcome(send)).toBe('waits');
    expect(await channel.receive()).toEqual({ done: false, value: 'hello' });
    await send;
    const receive = channel.receive();
    expect(channel.trySend('again')).toBe(true);
    expect((await receive).value).toBe('again');
  });
});

describe('a closed channel', () => {
  it('gives out what it holds, then ends; refuses sends, those that wait too; may be closed again', async () => {
    const channel = new Channel<number>({ capacity: 2 });
    const sends = [channel.send(1), channel.send(2), channel.send(3)];
    channel.close();
    channel.close();
    await expect(sends[2]).rejects.toMatchObject({ code: 'UNAVAILABLE', definite: true });
    await expect(channel.send(4)).rejects.toMatchObject({ code: 'UNAVAILABLE', definite: true });
    expect(channel.trySend(5)).toBe(false);
    const received: number[] = [];
    for await (const value of channel) received.push(value);
    expect(received).toEqual([1, 2]);
    expect(await channel.receive()).toEqual({ done: true, value: undefined });
  });

  it('is not closed by leaving the loop over it', async () => {
    const channel = new Channel<number>({ capacity: 3 });
    for (const value of [1, 2, 3]) channel.trySend(value);
    for await (const value of channel) if (value === 2) break;
    expect(channel.closed).toBe(false);
    expect((await channel.receive()).value).toBe(3);
  });
});

describe('deadlines and signals', () => {
  it('a send whose context has ended is refused at once, though there is room', async () => {
    const channel = new Channel<number>({ capacity: 1 });
    await expect(channel.send(1, within(-1))).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED', definite: true });
    await expect(channel.send(1, within(1000, { signal: AbortSignal.abort() }))).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(channel.length).toBe(0);
  });

  it('leaves no listener and no deadline behind, however a wait ends', async () => {
    const wheel = new DeadlineWheel({ clock: new FakeClock() });
    const controller = new AbortController();
    const context = within(1000, { signal: controller.signal, clock: wheel.clock });
    const channel = new Channel<number>({ capacity: 0, wheel });
    for (let turn = 0; turn < 2_000; turn++) await Promise.all([channel.send(turn, context), channel.receive(context)]);
    for (let turn = 0; turn < 2_000; turn++) await Promise.all([channel.receive(context), channel.send(turn, context)]);
    expect([wheel.size, getEventListeners(controller.signal, 'abort').length]).toEqual([0, 0]);
    const waiting = [channel.send(1, context), channel.send(2, context)];
    expect([wheel.size, getEventListeners(controller.signal, 'abort').length]).toEqual([2, 2]);
    controller.abort('enough');
    for (const send of waiting) await expect(send).rejects.toMatchObject({ code: 'CANCELLED', definite: true, cause: 'enough' });
    expect([wheel.size, getEventListeners(controller.signal, 'abort').length, channel.waitingSenders]).toEqual([0, 0, 0]);
    const toBeClosed = new Channel<number>({ capacity: 0, wheel });
    const refused = toBeClosed.send(1, within(1000, { clock: wheel.clock }));
    toBeClosed.close();
    await expect(refused).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(wheel.size).toBe(0);
  });

  it('a context without a finite deadline is a mistake of the caller, and nothing waits for it', async () => {
    const channel = new Channel<number>({ capacity: 0 });
    await expect(channel.send(1, { deadlineMs: Infinity })).rejects.toThrow(RangeError);
    await expect(channel.receive({ deadlineMs: Infinity })).rejects.toThrow(RangeError);
    expect([channel.waitingSenders, channel.waitingReceivers]).toEqual([0, 0]);
  });
});

/** One thing done to the channel. Waits are told to end by nothing, by a signal (cancelled by a later step) or by a deadline. */
type Step =
  | { do: 'send' | 'receive'; deadlineInMs: number | undefined }
  | { do: 'trySend' | 'tryReceive' | 'close' | 'settle' }
  | { do: 'cancel'; index: number }
  | { do: 'advance'; ms: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('send' as const),
        deadlineInMs: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('receive' as const),
        deadlineInMs: fc.option(fc.integer({ min: 1, max: 9 }), { nil: undefined }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('trySend' as const, 'tryReceive' as const, 'settle' as const) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('cancel' as const), index: fc.nat(40) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 6 }) }) },
    { weight: 1, arbitrary: fc.constantFrom({ do: 'settle' as const }, { do: 'settle' as const }, { do: 'close' as const }) },
  ),
  { maxLength: 60 },
);

/** The same channel, written the plainest way: lines are arrays, nothing is asynchronous, outcomes are words. */
class Model {
  readonly outcomes: string[] = [];
  readonly values: number[] = [];
  senders: Array<{ index: number; value: number; deadlineMs: number }> = [];
  receivers: Array<{ index: number; deadlineMs: number }> = [];
  closed = false;

  constructor(
    readonly capacity: number,
    readonly waitersMax: number,
  ) {}

  send(index: number, value: number, deadlineMs: number): void {
    if (this.closed) this.outcomes[index] = 'UNAVAILABLE';
    else if (this.trySend(value)) this.outcomes[index] = 'sent';
    else if (this.senders.length >= this.waitersMax) this.outcomes[index] = 'OVERLOADED';
    else this.senders.push({ index, value, deadlineMs });
  }

  trySend(value: number): boolean {
    if (this.closed) return false;
    const receiver = this.receivers.shift();
    if (receiver) this.outcomes[receiver.index] = `got ${value}`;
    else if (this.values.length < this.capacity) this.values.push(value);
    else return false;
    return true;
  }

  receive(index: number, deadlineMs: number): void {
    const value = this.tryReceive();
    if (value !== undefined) this.outcomes[index] = `got ${value}`;
    else if (this.closed) this.outcomes[index] = 'done';
    else if (this.receivers.length >= this.waitersMax) this.outcomes[index] = 'OVERLOADED';
    else this.receivers.push({ index, deadlineMs });
  }

  tryReceive(): number | undefined {
    const sender = this.values.length === 0 || this.senders.length > 0 ? this.senders.shift() : undefined;
    if (sender) {
      this.outcomes[sender.index] = 'sent';
      this.values.push(sender.value);
    }
    return this.values.shift();
  }

  leave(isLeaving: (waiter: { index: number; deadlineMs: number }) => boolean, code: string): void {
    for (const waiter of [...this.senders, ...this.receivers]) if (isLeaving(waiter)) this.outcomes[waiter.index] = code;
    this.senders = this.senders.filter((waiter) => !isLeaving(waiter));
    this.receivers = this.receivers.filter((waiter) => !isLeaving(waiter));
  }

  close(): void {
    this.closed = true;
    for (const { index } of this.senders.splice(0)) this.outcomes[index] = 'UNAVAILABLE';
    for (const { index } of this.receivers.splice(0)) this.outcomes[index] = 'done';
  }
}

it('does exactly what its model does, whatever is sent, received, cancelled, overdue or closed, and loses and doubles nothing', async () => {
  const run = fc.asyncProperty(fc.nat(4), fc.integer({ min: 1, max: 5 }), steps, async (capacity, waitersMax, todo) => {
    const clock = new FakeClock();
    const wheel = new DeadlineWheel({ clock, tickMs: 1, slots: 4 });
    const channel = new Channel<number>({ capacity, sendersMax: waitersMax, receiversMax: waitersMax, wheel });
    const model = new Model(capacity, waitersMax);
    const outcomes: string[] = [];
    const controllers: AbortController[] = [];
    const pending: Array<Promise<void>> = [];
    const note = (promise: Promise<unknown>, index: number) =>
      pending.push(
        promise.then(
          (result) => void (outcomes[index] = wordFor(result)),
          (error: unknown) => void (outcomes[index] = isDiptychError(error) && error.definite ? error.code : String(error)),
        ),
      );
    let value = 0;
    for (const step of todo) {
      const index = controllers.length;
      if (step.do === 'send' || step.do === 'receive') {
        controllers.push(new AbortController());
        const context = within(step.deadlineInMs ?? 1e6, { signal: controllers[index]!.signal, clock });
        if (step.do === 'send') {
          model.send(index, ++value, context.deadlineMs);
          note(channel.send(value, context), index);
        } else {
          model.receive(index, context.deadlineMs);
          note(channel.receive(context), index);
        }
      } else if (step.do === 'trySend') {
        expect(channel.trySend(++value)).toBe(model.trySend(value));
      } else if (step.do === 'tryReceive') {
        expect(channel.tryReceive()?.value).toBe(model.tryReceive());
      } else if (step.do === 'cancel') {
        controllers[step.index]?.abort();
        model.leave((waiter) => waiter.index === step.index, 'CANCELLED');
      } else if (step.do === 'advance') {
        clock.advance(step.ms);
        model.leave((waiter) => waiter.deadlineMs <= clock.nowMs(), 'DEADLINE_EXCEEDED');
      } else if (step.do === 'close') {
        channel.close();
        model.close();
      } else await Promise.resolve();
      expect([channel.length, channel.waitingSenders, channel.waitingReceivers]).toEqual([
        model.values.length,
        model.senders.length,
        model.receivers.length,
      ]);
    }
    channel.close();
    model.close();
    await Promise.all(pending);
    expect(outcomes).toEqual(model.outcomes);
    for (let rest = channel.tryReceive(); rest; rest = channel.tryReceive()) expect(rest.value).toBe(model.values.shift());
    expect(model.values).toEqual([]);
    expect([wheel.size, clock.pending]).toEqual([0, 0]);
    for (const { signal } of controllers) expect(getEventListeners(signal, 'abort')).toEqual([]);
  });
  await fc.assert(run, { seed, numRuns: 500 });
});

function wordFor(result: unknown): string {
  if (result === undefined) return 'sent';
  const { done, value } = result as IteratorResult<number, undefined>;
  return done ? 'done' : `got ${value}`;
}
