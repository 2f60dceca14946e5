import { DiptychError, within } from '@diptych/kernel';
import { definePort } from '@diptych/messaging';
import type { DynamicModule } from '@nestjs/common';
import { Type } from 'typebox';
import { afterEach, expect, it } from 'vitest';
import type { Guards, RunningApp } from '../src/index.js';
import { GUARDS, GuardsModule, startApp } from '../src/index.js';

interface PingPort {
  ping(request: object, context: { deadlineMs: number }): Promise<object>;
}

const Nothing = Type.Object({});
const pingPort = definePort<PingPort>({
  name: 'ping',
  version: 1,
  methods: { ping: { kind: 'unary', request: Nothing, reply: Nothing, safeToRepeat: true } },
});

class TestModule {}

let guards: Guards;
const root: DynamicModule = {
  module: TestModule,
  imports: [GuardsModule],
  providers: [{ provide: TestModule, inject: [GUARDS], useFactory: (given: Guards) => (guards = given) }],
};

let app: RunningApp | undefined;
afterEach(() => app?.close());

async function start(variables: Record<string, string> = {}): Promise<void> {
  app = await startApp(root, { name: 'test', httpPort: 0, variables: { DIPTYCH_TELEMETRY_LEVEL: 'silent', ...variables } });
}

const OFF = { RETRY: 'false', BREAKER: 'false', BULKHEAD: 'false', SHED: 'false' };
const variables = (settings: Record<string, string>) =>
  Object.fromEntries(Object.entries(settings).map(([name, value]) => [`DIPTYCH_GUARDS_${name}`, value]));

/** Attempts that the part sees of `calls` that it fails, and the codes their callers see. */
async function failing(calls: number): Promise<{ attempts: number; codes: readonly string[] }> {
  let attempts = 0;
  const part: PingPort = {
    ping: async () => {
      attempts++;
      throw new DiptychError('UNAVAILABLE', 'gone');
    },
  };
  const port = guards.before('test', pingPort, part);
  const codes = [];
  for (let call = 0; call < calls; call++) codes.push(await port.ping({}, within(5_000)).catch((error: DiptychError) => error.code));
  return { attempts, codes: codes as string[] };
}

it('are on unless switched off, and show in the metrics', async () => {
  await start();
  const { attempts, codes } = await failing(50);
  expect(attempts).toBeLessThan(50);
  expect(codes.at(-1)).toBe('CIRCUIT_OPEN');
  const metrics = await app!.telemetry.metrics.metrics();
  expect(metrics).toMatch(/^diptych_guard_breaker_state\{caller="test",port="ping",method="ping"\} 2$/m);
  const part: PingPort = { ping: async () => ({}) };
  expect(guards.behind(pingPort, part)).not.toBe(part);
});

it('are all gone when all are switched off', async () => {
  await start(variables(OFF));
  const part: PingPort = { ping: async () => ({}) };
  expect(guards.before('test', pingPort, part)).toBe(part);
  expect(guards.behind(pingPort, part)).toBe(part);
});

it('can be switched one by one, with figures of their own', async () => {
  await start(variables({ ...OFF, RETRY: 'true', RETRY_ATTEMPTS_MAX: '2', RETRY_BUDGET_PERCENT: '100' }));
  expect(await failing(30)).toEqual({ attempts: 60, codes: Array.from({ length: 30 }, () => 'UNAVAILABLE') });
  await app!.close();
  await start(variables({ ...OFF, BREAKER: 'true', BREAKER_CALLS_MIN: '5', BREAKER_OPEN_MS: '600000' }));
  expect((await failing(30)).attempts).toBe(5);
  await app!.close();
  await start(variables({ ...OFF, BULKHEAD: 'true', BULKHEAD_CONCURRENT_MAX: '1', BULKHEAD_QUEUE_MAX: '0' }));
  const port = guards.before('test', pingPort, { ping: () => new Promise(() => undefined) });
  void port.ping({}, within(5_000));
  await expect(port.ping({}, within(5_000))).rejects.toMatchObject({ code: 'OVERLOADED' });
  await app!.close();
  await start(variables({ ...OFF, SHED: 'true', SHED_IN_FLIGHT_MAX: '1' }));
  const part = guards.behind(pingPort, { ping: () => new Promise<object>(() => undefined) });
  void part.ping({}, within(5_000));
  await expect(part.ping({}, within(5_000))).rejects.toMatchObject({ code: 'OVERLOADED' });
});

it('refuse settings that make no sense', async () => {
  await expect(start(variables({ RETRY_ATTEMPTS_MAX: '0', BREAKER: 'maybe' }))).rejects.toThrow(/RETRY_ATTEMPTS_MAX.*\n.*BREAKER/);
  app = undefined;
});
