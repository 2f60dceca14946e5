import { Module } from '@nestjs/common';
import type { PortDescriptor } from '@diptych/messaging';
import { DEFAULT_GUARDS, guard, guardMetrics, shed, type GuardOptions } from '@diptych/resilience';
import type { Telemetry } from '@diptych/telemetry';
import { Type } from 'typebox';
import { defineSettings, provideSettings, type SettingsOf } from './settings.js';
import { TELEMETRY, type Token } from './tokens.js';

/** The guards of this process, as its settings say; the same for every binding, so that arms differ by their bindings alone. */
export interface Guards {
  /**
   * The port as `caller` uses it: with retry, breaker and bulkhead.
   *
   * @param except methods whose caller waits and tries again by itself
   */
  before<Port extends object>(
    caller: string,
    descriptor: PortDescriptor<Port>,
    port: Port,
    except?: ReadonlyArray<keyof Port & string>,
  ): Port;
  /** The part as it serves: sheds load. Goes inside its binding. */
  behind<Port extends object>(descriptor: PortDescriptor<Port>, part: Port): Port;
}

export const GUARDS: Token<Guards> = Symbol('GUARDS');

const { retry, breaker, bulkhead, shed: shedding } = DEFAULT_GUARDS;

export const GUARDS_SETTINGS = defineSettings('guards', {
  retry: Type.Boolean({ default: true, description: 'Calls that failed are tried again when that can help and cannot harm.' }),
  retryAttemptsMax: Type.Integer({
    default: retry.attemptsMax,
    minimum: 1,
    maximum: 10,
    description: 'Attempts of one call, the first one counted.',
  }),
  retryBudgetPercent: Type.Number({
    default: retry.budget.ratio * 100,
    minimum: 0,
    maximum: 100,
    description: 'How many calls may be made again, in per cent of the requests.',
  }),
  retryMinimum: Type.Integer({
    default: retry.budget.minimum,
    minimum: 0,
    maximum: 10_000,
    description: 'How many may be made again besides, so that low traffic can; one a second comes back.',
  }),
  breaker: Type.Boolean({ default: true, description: 'A part that does not answer is left alone for a while: CIRCUIT_OPEN.' }),
  breakerFailurePercent: Type.Integer({
    default: breaker.failureRatio * 100,
    minimum: 1,
    maximum: 99,
    description: 'A circuit opens when more than this share of the calls of a method were not answered.',
  }),
  breakerWindowMs: Type.Integer({
    default: breaker.windowMs,
    minimum: 100,
    maximum: 600_000,
    description: 'The time over which calls are counted, in milliseconds.',
  }),
  breakerCallsMin: Type.Integer({
    default: breaker.callsMin,
    minimum: 1,
    maximum: 1_000_000,
    description: 'Fewer calls than this within that time do not open a circuit.',
  }),
  breakerOpenMs: Type.Integer({
    default: breaker.openMs,
    minimum: 1,
    maximum: 600_000,
    description: 'For how long an open circuit lets nothing through, in milliseconds; then one call is let through to see.',
  }),
  bulkhead: Type.Boolean({ default: true, description: 'Calls of one method that a caller has under way are limited; more wait in line.' }),
  bulkheadConcurrentMax: Type.Integer({
    default: bulkhead.concurrentMax,
    minimum: 1,
    maximum: 1_000_000,
    description: 'How many calls of one method may be under way.',
  }),
  bulkheadQueueMax: Type.Integer({
    default: bulkhead.queueMax,
    minimum: 0,
    maximum: 1_000_000,
    description: 'How many may wait for their turn, up to their deadlines; one more is refused with OVERLOADED.',
  }),
  shed: Type.Boolean({
    default: true,
    description: 'A part refuses calls early when it has too many, so that it does the others in time.',
  }),
  shedInFlightMax: Type.Integer({
    default: shedding.inFlightMax,
    minimum: 1,
    maximum: 1_000_000,
    description: 'How many calls of one method a part works on; one more is refused with OVERLOADED. (4,096 is a bound that stays.)',
  }),
});

const SETTINGS = Symbol('GUARDS_SETTINGS');

/** Provides GUARDS. Each guard can be switched off; bounds (deadlines, in-flight limits, sizes) cannot. */
@Module({
  providers: [provideSettings(SETTINGS, GUARDS_SETTINGS), { provide: GUARDS, inject: [SETTINGS, TELEMETRY], useFactory: guardsOf }],
  exports: [GUARDS],
})
export class GuardsModule {}

function guardsOf(settings: SettingsOf<typeof GUARDS_SETTINGS>, telemetry: Telemetry): Guards {
  const metrics = guardMetrics(telemetry.metrics);
  const options: GuardOptions = { ...callerGuardsOf(settings), metrics };
  return {
    before: (caller, descriptor, port, except) => guard(descriptor, port, { ...options, caller, except }),
    behind: (descriptor, part) => (settings.shed ? shed(descriptor, part, { inFlightMax: settings.shedInFlightMax, metrics }) : part),
  };
}

function callerGuardsOf(settings: SettingsOf<typeof GUARDS_SETTINGS>): Pick<GuardOptions, 'retry' | 'breaker' | 'bulkhead'> {
  const { retryMinimum: minimum, retryBudgetPercent } = settings;
  const budget = { ...retry.budget, ratio: retryBudgetPercent / 100, minimum, savedMax: Math.max(retry.budget.savedMax, minimum) };
  return {
    retry: settings.retry ? { ...retry, attemptsMax: settings.retryAttemptsMax, budget } : undefined,
    breaker: settings.breaker
      ? {
          ...breaker,
          failureRatio: settings.breakerFailurePercent / 100,
          windowMs: settings.breakerWindowMs,
          callsMin: settings.breakerCallsMin,
          openMs: settings.breakerOpenMs,
        }
      : undefined,
    bulkhead: settings.bulkhead ? { concurrentMax: settings.bulkheadConcurrentMax, queueMax: settings.bulkheadQueueMax } : undefined,
  };
}
