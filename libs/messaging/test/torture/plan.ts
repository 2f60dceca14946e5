import type { ErrorCode } from '@diptych/kernel';
import { seededRandom } from '@diptych/testing';
import type { Deed } from './torture-port.js';
import { OVERSIZE_BYTES } from './torture-port.js';

/** One call of the torture. The whole of it follows from the seed and its number, so nothing about a million of them is kept. */
export interface Plan {
  readonly i: number;
  /** Which of the callers; the last is a plain NATS client with JSON. */
  readonly caller: Caller;
  readonly method: 'run' | 'missing';
  readonly does: Deed;
  readonly delayMs: number;
  readonly bytes: number;
  readonly values: number;
  readonly code: ErrorCode;
  /** 0 or less: the call is dead before it begins. */
  readonly timeoutMs: number;
  readonly abort: Abort | undefined;
  /** What the server refuses. */
  readonly malformed: boolean;
}

export type Caller = 'any' | 'keyed' | 'narrow' | 'plain';
/** When the caller gives up: before it calls, in the same step, in a microtask, when the turn ends, or so many milliseconds later. */
export type Abort = 'before' | 'sync' | 'micro' | 'turn' | number;

/** Whoever is not in a hurry. Nothing of this test takes so long, so that a call which ends by it was forgotten. */
export const LONG_MS = 30_000;
/** Calls that the `narrow` caller may have in flight. */
export const NARROW_MAX = 24;

const CODES: readonly ErrorCode[] = ['CONFLICT', 'NOT_FOUND', 'OVERLOADED', 'UNAVAILABLE', 'TOO_LARGE', 'INTERNAL', 'DEADLINE_EXCEEDED'];

export function planOf(seed: number, i: number): Plan {
  const random = seededRandom(seed ^ Math.imul(i + 1, 0x9e3779b1));
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  const what = random();
  const caller = pick<Caller>(['any', 'any', 'any', 'keyed', 'keyed', 'narrow', i % 8 === 0 ? 'plain' : 'any']);
  const does: Deed =
    what < 0.78
      ? 'answer'
      : what < 0.84
        ? 'fail'
        : what < 0.86
          ? 'throw'
          : what < 0.88
            ? 'plain'
            : what < 0.884
              ? 'oversize'
              : what < 0.9 && caller !== 'plain'
                ? 'garble'
                : what < 0.905
                  ? 'never'
                  : what < 0.95 && caller !== 'plain'
                    ? 'stream'
                    : 'answer';
  const size = random();
  const bytes = size < 0.9 ? Math.floor(random() * 400) : size < 0.99 ? Math.floor(random() * 20_000) : Math.floor(random() * 300_000);
  const isTooLarge = random() < 0.003 && caller !== 'plain';
  const hurry = does === 'never' ? 0 : random();
  const timeoutMs = hurry < 0.12 ? 1 + Math.floor(random() * 40) : hurry < 0.13 ? -5 : LONG_MS;
  const gaveUp = random();
  return {
    i,
    caller,
    method: random() < 0.005 ? 'missing' : 'run',
    does,
    delayMs: random() < 0.6 ? 0 : Math.floor(random() * 20),
    bytes: isTooLarge ? OVERSIZE_BYTES : bytes,
    values: 1 + Math.floor(random() * 12),
    code: pick(CODES),
    timeoutMs: caller === 'plain' && timeoutMs < 0 ? LONG_MS : timeoutMs,
    abort: caller === 'plain' || gaveUp > 0.1 ? undefined : pick<Abort>(['before', 'sync', 'micro', 'turn', 0, 1, 3, 10, 20]),
    malformed: random() < 0.01,
  };
}
