import type { CallContext, ErrorCode } from '@diptych/kernel';
import { DiptychError, ERROR_TABLE, within } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ProbePort } from '../test/probe-port.js';
import { probe, probePort } from '../test/probe-port.js';
import type { BreakerOptions } from './guard-options.js';
import { DEFAULT_GUARDS } from './guard-options.js';
import type { CircuitName, WatchedGuards } from './guard-watch.js';
import { guard } from './guard.js';

const OPTIONS: BreakerOptions = DEFAULT_GUARDS.breaker;
const failed = (code: ErrorCode, options: ConstructorParameters<typeof DiptychError>[2] = {}) =>
  new DiptychError(code, `it is ${code}`, options);

/** The window of samples asks the wall clock. */
beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }));
afterEach(() => void vi.useRealTimers());

class Subject {
  readonly clock = new FakeClock();
  readonly port: ProbePort;
  readonly watched: WatchedGuards[] = [];
  /** What the part does next. */
  behaviour: (context: CallContext) => Promise<void> = async () => undefined;
  attempts = 0;

  constructor(options: Partial<BreakerOptions> = {}) {
    const part = probe(async ({ n }, context) => {
      this.attempts++;
      await this.behaviour(context);
      return { n };
    });
    const metrics = { add: (guards: WatchedGuards) => void this.watched.push(guards) };
    this.port = guard(probePort, part, { breaker: { ...OPTIONS, ...options }, clock: this.clock, metrics });
  }

  get state(): CircuitName {
    return this.watched[0]!.breaker!.state;
  }

  call(method: 'get' | 'add' = 'get', signal?: AbortSignal): Promise<unknown> {
    return this.port[method]({ n: 1 }, within(5_000, { clock: this.clock, signal })).catch((error: unknown) => error);
  }

  fails(error: unknown, afterMs = 0): void {
    this.behaviour = async () => {
      this.advance(afterMs);
      throw error;
    };
  }

  answers(): void {
    this.behaviour = async () => undefined;
  }

  advance(byMs: number): void {
    this.clock.advance(byMs);
    vi.setSystemTime(Date.now() + byMs);
  }

  async open(): Promise<void> {
    this.fails(failed('UNAVAILABLE'));
    for (let n = 0; n < OPTIONS.callsMin; n++) await this.call();
    expect(this.state).toBe('open');
  }
}

describe('breaker', () => {
  it('opens when most calls fail, refuses at once with the time left, and lets one through after it', async () => {
    const subject = new Subject();
    await subject.open();
    subject.advance(300);
    const attempts = subject.attempts;
    expect(await subject.call()).toMatchObject({ code: 'CIRCUIT_OPEN', definite: true, retryAfterMs: 700, part: 'probe' });
    expect(subject.attempts).toBe(attempts);
    subject.advance(700);
    subject.answers();
    expect(await subject.call()).toEqual({ n: 1 });
    expect(subject.state).toBe('closed');
  });

  it('stays closed while too few calls were made, or as many succeed as fail', async () => {
    const few = new Subject();
    few.fails(failed('UNAVAILABLE'));
    for (let n = 0; n < OPTIONS.callsMin - 1; n++) await few.call();
    expect(few.state).toBe('closed');
    const half = new Subject();
    for (let n = 0; n < 100; n++) {
      half.answers();
      await half.call();
      half.fails(failed('CONNECTION_LOST'));
      await half.call();
    }
    expect(half.state).toBe('closed');
  });

  it('forgives a short blow to a busy part', async () => {
    const subject = new Subject();
    for (let n = 0; n < 1_000; n++) await subject.call();
    subject.advance(1_000);
    subject.fails(failed('UNAVAILABLE'));
    for (let n = 0; n < 900; n++) await subject.call();
    expect(subject.state).toBe('closed');
  });

  const FAILURES: readonly ErrorCode[] = ['UNAVAILABLE', 'CONNECTION_LOST', 'DEADLINE_EXCEEDED'];
  it.each(Object.keys(ERROR_TABLE) as ErrorCode[])('counts %s only if it says that the part does not answer', async (code) => {
    const subject = new Subject();
    subject.fails(failed(code), OPTIONS.patienceMs);
    for (let n = 0; n < OPTIONS.callsMin; n++) await subject.call();
    // At one a second there are never enough within the window.
    expect(subject.state).toBe('closed');
    const quick = new Subject({ patienceMs: 0 });
    quick.fails(failed(code));
    for (let n = 0; n < OPTIONS.callsMin; n++) await quick.call();
    expect(quick.state).toBe(FAILURES.includes(code) ? 'open' : 'closed');
  });

  it('learns nothing from deadlines that were too short, or passed before the work began', async () => {
    const subject = new Subject();
    subject.fails(failed('DEADLINE_EXCEEDED'));
    for (let n = 0; n < 200; n++) await subject.call();
    const definite = new Subject({ patienceMs: 0 });
    definite.fails(failed('DEADLINE_EXCEEDED', { definite: true }));
    for (let n = 0; n < 200; n++) await definite.call();
    expect([subject.state, definite.state]).toEqual(['closed', 'closed']);
  });

  it('does not blame a part for what failed behind it', async () => {
    const subject = new Subject();
    subject.fails(failed('UNAVAILABLE', { part: 'behind' }));
    for (let n = 0; n < 200; n++) expect(await subject.call()).toMatchObject({ code: 'UNAVAILABLE', part: 'behind' });
    expect(subject.state).toBe('closed');
  });

  it('takes refusals with a reason for answers: some failures among them do not open it', async () => {
    const subject = new Subject();
    for (let n = 0; n < 300; n++) {
      subject.fails(failed(n % 10 === 0 ? 'UNAVAILABLE' : 'CONFLICT'));
      await subject.call();
    }
    expect(subject.state).toBe('closed');
  });

  it('half-open: lets the probe through and refuses all others at once', async () => {
    const subject = new Subject();
    await subject.open();
    subject.advance(OPTIONS.openMs);
    const { promise, resolve } = Promise.withResolvers<void>();
    subject.behaviour = () => promise;
    const attempts = subject.attempts;
    const probing = subject.call();
    const others = await Promise.all(Array.from({ length: 50 }, () => subject.call()));
    expect(subject.state).toBe('half-open');
    for (const other of others) expect(other).toMatchObject({ code: 'CIRCUIT_OPEN', retryAfterMs: 100 });
    expect(subject.attempts).toBe(attempts + 1);
    resolve();
    expect(await probing).toEqual({ n: 1 });
    expect(subject.state).toBe('closed');
    expect(await subject.call()).toEqual({ n: 1 });
  });

  it('half-open: any answer closes it; a failure opens it for as long again, and so does a probe whose caller gave up', async () => {
    for (const [code, state] of [
      ['CONFLICT', 'closed'],
      ['INTERNAL', 'closed'],
      ['UNAVAILABLE', 'open'],
      ['CANCELLED', 'open'],
      ['DEADLINE_EXCEEDED', 'open'],
    ] as const) {
      const subject = new Subject();
      await subject.open();
      subject.advance(OPTIONS.openMs);
      subject.fails(failed(code));
      expect(await subject.call()).toMatchObject({ code });
      expect(subject.state, code).toBe(state);
      if (state === 'open') expect(await subject.call()).toMatchObject({ code: 'CIRCUIT_OPEN', retryAfterMs: OPTIONS.openMs });
    }
  });

  it('wants all of several probes answered', async () => {
    const subject = new Subject({ probes: 3 });
    await subject.open();
    subject.advance(OPTIONS.openMs);
    subject.answers();
    for (const state of ['half-open', 'half-open', 'closed']) {
      await subject.call();
      expect(subject.state).toBe(state);
    }
  });

  it('is not opened again by calls that hung since before it opened', async () => {
    const subject = new Subject({ patienceMs: 0 });
    const { promise, reject } = Promise.withResolvers<void>();
    subject.behaviour = () => promise;
    const hanging = Array.from({ length: 100 }, () => subject.call());
    subject.advance(1);
    await subject.open();
    subject.advance(OPTIONS.openMs);
    subject.answers();
    await subject.call();
    expect(subject.state).toBe('closed');
    subject.advance(1);
    reject(failed('DEADLINE_EXCEEDED'));
    await Promise.all(hanging);
    expect(subject.state).toBe('closed');
  });

  it('keeps time by a clock that does not jump', async () => {
    const subject = new Subject();
    await subject.open();
    vi.setSystemTime(Date.now() - 3_600_000);
    subject.clock.advance(OPTIONS.openMs);
    subject.answers();
    expect(await subject.call()).toEqual({ n: 1 });
    await subject.open();
    vi.setSystemTime(Date.now() + 3_600_000);
    expect(await subject.call()).toMatchObject({ code: 'CIRCUIT_OPEN' });
  });

  it('stands before each method by itself, or before the whole port', async () => {
    for (const [per, added] of [
      ['method', { n: 1 }],
      ['port', { code: 'CIRCUIT_OPEN' }],
    ] as const) {
      const subject = new Subject({ per });
      await subject.open();
      subject.answers();
      expect(await subject.call('add')).toMatchObject(added);
    }
  });
});
