import { monitorEventLoopDelay, performance, PerformanceObserver } from 'node:perf_hooks';
import { DiptychError, within, type CallContext } from '@diptych/kernel';
import fc from 'fast-check';
import { Registry } from 'prom-client';
import { describe, expect, it, vi } from 'vitest';
import { childOf, createLogger, createTelemetry, formatTraceparent, Health, LOG_LEVELS, measured, parseTraceparent } from './index.js';

describe('health', () => {
  it('is ready when every check says so, and says why not', () => {
    const health = new Health();
    expect(health.ready()).toEqual({ ok: true, reasons: [], checks: {} });
    let connected = true;
    const check = health.check('nats', () => ({ ok: connected, reason: 'lost' }));
    expect(health.ready()).toEqual({ ok: true, reasons: [], checks: { nats: { ok: true } } });
    connected = false;
    expect(health.ready()).toMatchObject({ ok: false, reasons: ['nats: lost'] });
    check[Symbol.dispose]();
    expect(health.ready()).toEqual({ ok: true, reasons: [], checks: {} });
  });

  it('takes a check that throws for a no', () => {
    const health = new Health();
    health.check('disk', () => {
      throw new Error('gone');
    });
    expect(health.ready().reasons).toEqual(['disk: gone']);
  });

  it('is not ready while held, and refuses a name twice', () => {
    const health = new Health();
    const hold = health.hold('starting');
    expect(health.ready().reasons).toEqual(['starting']);
    hold[Symbol.dispose]();
    expect(health.ready().ok).toBe(true);
    health.check('a', () => ({ ok: true }));
    expect(() => health.check('a', () => ({ ok: true }))).toThrow(/exists already/);
  });
});

describe('logger', () => {
  it('writes one JSON object a line, from its level on', () => {
    const lines: string[] = [];
    const logger = createLogger({ name: 'cache', level: 'warn', destination: { write: (line: string) => void lines.push(line) } });
    logger.info('not said');
    logger.warn({ key: 'a\nb' }, 'said');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^[^\n]*\n$/);
    expect(JSON.parse(lines[0]!)).toMatchObject({ level: 'warn', name: 'cache', pid: process.pid, key: 'a\nb', msg: 'said' });
  });

  it('gives a stack to defects, and to the errors of the table none', () => {
    const lines: string[] = [];
    const logger = createLogger({ name: 'cache', level: 'warn', destination: { write: (line: string) => void lines.push(line) } });
    logger.warn({ err: new DiptychError('UNAVAILABLE', 'down', { cause: new Error('refused') }) });
    logger.warn({ err: new TypeError('oops') });
    const [expected, defect] = lines.map((line) => (JSON.parse(line) as { err: object }).err);
    expect(expected).toEqual({ code: 'UNAVAILABLE', message: 'down', definite: true, cause: 'refused' });
    expect(defect).toMatchObject({ type: 'TypeError', message: 'oops', stack: expect.stringContaining('telemetry.spec.ts') as string });
  });

  it.each(LOG_LEVELS)('knows the level %s', (level) => {
    expect(createLogger({ name: 'x', level, destination: { write: () => undefined } }).level).toBe(level);
  });
});

describe('process metrics', () => {
  it('can be scraped, also several times, and end', async () => {
    const telemetry = createTelemetry({ name: 'x', level: 'silent' });
    await telemetry.metrics.metrics();
    const text = await telemetry.metrics.metrics();
    for (const name of [
      'process_cpu_user_seconds_total',
      'nodejs_eventloop_utilization',
      'nodejs_eventloop_lag_p99_seconds',
      'diptych_ready',
    ])
      expect(text).toMatch(new RegExp(`^${name} [0-9.e+-]+$`, 'm'));
    telemetry[Symbol.dispose]();
    telemetry[Symbol.dispose]();
  });

  it('stop what they started: the observers do not show among the open handles', () => {
    const monitor = vi.spyOn(Object.getPrototypeOf(monitorEventLoopDelay()) as { disable(): boolean }, 'disable');
    const observer = vi.spyOn(PerformanceObserver.prototype, 'disconnect');
    const telemetry = createTelemetry({ name: 'x', level: 'silent' });
    expect([monitor.mock.calls.length, observer.mock.calls.length]).toEqual([0, 0]);
    telemetry[Symbol.dispose]();
    expect([monitor.mock.calls.length, observer.mock.calls.length]).toEqual([1, 1]);
    vi.restoreAllMocks();
  });
});

interface EchoPort {
  echo(request: string, context: CallContext): Promise<string>;
  events(listener: (event: number) => void): Promise<Disposable>;
}
const ECHO = { name: 'echo', methods: { echo: { kind: 'unary' }, events: { kind: 'topic' } } };

describe('measured', () => {
  it('counts calls by how they ended, and changes nothing about them', async () => {
    const registry = new Registry();
    const refusal = new DiptychError('CONFLICT', 'no');
    const defect = new TypeError('oops');
    const events = { [Symbol.dispose]: () => undefined };
    const port: EchoPort = {
      async echo(request, context) {
        expect(context.deadlineMs).toBeGreaterThan(0);
        if (request === 'refuse') throw refusal;
        if (request === 'break') throw defect;
        return request;
      },
      events: async () => events,
    };
    const wrapped = measured(port, ECHO, registry, 'nats');
    await expect(wrapped.echo('a', within(100))).resolves.toBe('a');
    await expect(wrapped.echo('b', within(100))).resolves.toBe('b');
    await expect(wrapped.echo('refuse', within(100))).rejects.toBe(refusal);
    await expect(wrapped.echo('break', within(100))).rejects.toBe(defect);
    await expect(wrapped.events(() => undefined)).resolves.toBe(events);

    const text = await registry.metrics();
    const counted = (code: string) =>
      Number(new RegExp(`_count{port="echo",method="echo",binding="nats",code="${code}"} (\\d+)`).exec(text)?.[1]);
    expect([counted('OK'), counted('CONFLICT'), counted('INTERNAL')]).toEqual([2, 1, 1]);
    expect(text).not.toContain('method="events"');
    expect(text).toMatch(/# TYPE diptych_port_call_duration_seconds histogram/);
  });

  it('puts every duration into the first bucket that is large enough', async () => {
    const registry = new Registry();
    let nowMs = 0;
    const original = performance.now;
    performance.now = () => nowMs;
    try {
      const port = measured(
        { call: async (ms: number) => void (nowMs += ms) },
        { name: 'p', methods: { call: { kind: 'unary' } } },
        registry,
      );
      for (const ms of [0, 0.05, 0.0500001, 0.1, 1, 13_107.2, 20_000]) await port.call(ms);
    } finally {
      performance.now = original;
    }
    const text = await registry.metrics();
    const atMost = (le: string) => Number(new RegExp(`_bucket{le="${le.replace('+', '\\+')}",[^}]*} (\\d+)`).exec(text)?.[1]);
    expect(atMost('0.00005')).toBe(2);
    expect(atMost('0.0001')).toBe(4);
    expect(atMost('0.0016')).toBe(5);
    expect(atMost('13.1072')).toBe(6);
    expect(atMost('+Inf')).toBe(7);
  });

  it('lets two measured ports share one registry', async () => {
    const registry = new Registry();
    const make = (name: string) => measured({ call: async () => 1 }, { name, methods: { call: { kind: 'unary' } } }, registry);
    await make('a').call();
    await make('b').call();
    await make('a').call();
    const text = await registry.metrics();
    expect(text).toMatch(/_count{port="a"[^}]*} 2/);
    expect(text).toMatch(/_count{port="b"[^}]*} 1/);
  });
});

describe('traceparent', () => {
  it('reads what it wrote', () => {
    const hex = (digits: number) =>
      fc
        .string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: digits, maxLength: digits })
        .filter((text) => !/^0+$/.test(text));
    fc.assert(
      fc.property(fc.record({ traceId: hex(32), spanId: hex(16), sampled: fc.boolean() }), (context) => {
        expect(parseTraceparent(formatTraceparent(context))).toEqual(context);
      }),
      { seed: Number(process.env['DIPTYCH_SEED'] ?? 1) },
    );
  });

  it.each([
    undefined,
    '',
    'x',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7',
    '00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01',
    '00-00000000000000000000000000000000-00f067aa0ba902b7-01',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01',
    'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more',
  ])('refuses %j', (text) => {
    expect(parseTraceparent(text)).toBeUndefined();
  });

  it('reads a later version by the fields it knows', () => {
    expect(parseTraceparent('01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more')?.sampled).toBe(true);
  });

  it('keeps the trace and changes the span', () => {
    const parent = childOf(undefined);
    const child = childOf(parent);
    expect(parseTraceparent(formatTraceparent(child))).toEqual(child);
    expect(child.traceId).toBe(parent.traceId);
    expect(child.spanId).not.toBe(parent.spanId);
  });
});
