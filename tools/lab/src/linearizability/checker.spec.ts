import { seededRandom, seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkKey } from './checker.js';
import { ABSENT, isReadOnly, stateAfter, type Action, type Condition, type Operation, type Outcome, type State } from './register.js';

/*
 * Claim: the checker says of every history what trying all orders says, and finds each violation that is planted into a history of a real register.
 */

const RUNS = process.env['DIPTYCH_LONG'] === '1' ? 200_000 : 3_000;

describe('the checker of linearizability', () => {
  it(`agrees with all orders tried, on ${RUNS} histories of up to 7 operations`, { timeout: 600_000 }, () => {
    const verdicts = { linearizable: 0, violation: 0 };
    const property = fc.property(fc.array(anyOperation, { maxLength: 7 }), (drafts) => {
      const history = drafts.map(operationOf);
      const { kind } = checkKey(history);
      expect(kind).toBe(someOrderExplains(history) ? 'linearizable' : 'violation');
      verdicts[kind as keyof typeof verdicts]++;
    });
    fc.assert(property, { numRuns: RUNS, seed: seedFromEnv() });
    // Histories of only one kind would show nothing.
    expect(Math.min(...Object.values(verdicts))).toBeGreaterThan(RUNS / 20);
  });

  it('agrees with all orders tried where outcomes come from a register, whole and with one of them changed', { timeout: 600_000 }, () => {
    const property = fc.property(fc.integer(), fc.boolean(), (seed, isChanged) => {
      const random = seededRandom(seed);
      const history = simulated(random, { operations: 7, clients: 3, unknown: 0.25 });
      const changed = isChanged
        ? history.map((operation, i) => (i === Math.floor(random() * 7) ? otherwise(operation, random) : operation))
        : history;
      const expected = someOrderExplains(changed);
      if (!isChanged) expect(expected).toBe(true);
      expect(checkKey(changed).kind).toBe(expected ? 'linearizable' : 'violation');
    });
    fc.assert(property, { numRuns: RUNS, seed: seedFromEnv() });
  });

  it('takes 10,000 operations of 5 clients on one key, of which many have no known outcome', () => {
    const history = simulated(seededRandom(seedFromEnv()), { operations: 10_000, clients: 5, unknown: 0.003 });
    expect(checkKey(history)).toMatchObject({ kind: 'linearizable' });
  });

  it.each(Object.keys(plants()))('finds a planted %s in a long history', (name) => {
    const random = seededRandom(seedFromEnv());
    for (let i = 0; i < 20; i++) {
      const whole = simulated(random, { operations: 400, clients: 6, unknown: name === 'lost write' ? 0 : 0.01 });
      expect(checkKey(whole).kind).toBe('linearizable');
      expect(checkKey([...whole, ...plants()[name]!()]).kind, `${name}, ${i}`).toBe('violation');
    }
  });

  it('says where it found one, and what went before', () => {
    const verdict = checkKey([done({ kind: 'put', value: 1, condition: NONE }, 0, 1), saw(ABSENT, 2, 3)]);
    expect(verdict).toMatchObject({ kind: 'violation', at: { calledAt: 2 }, before: [{ calledAt: 0 }], states: [1] });
  });

  it('says that it does not know rather than run out of memory', () => {
    const puts = Array.from({ length: 10 }, (_, i) => done({ kind: 'put', value: i, condition: NONE }, i / 100, 10 + i / 100));
    expect(checkKey(puts, { configurationsMax: 50 }).kind).toBe('unknown');
    expect(checkKey(puts).kind).toBe('linearizable');
  });
});

const NONE: Condition = { kind: 'none' };

/** After everything else has ended: each is a defect that some cache or log has had. */
function plants(): Record<string, () => Operation[]> {
  return {
    'stale read': () => [put(9_001, 1e6), put(9_002, 1e6 + 2), saw(9_001, 1e6 + 4, 1e6 + 5)],
    'lost write': () => [del(1e6), put(9_001, 1e6 + 2), saw(ABSENT, 1e6 + 4, 1e6 + 5), del(1e6 + 6, false)],
    'resurrected delete': () => [put(9_001, 1e6), del(1e6 + 2, true), saw(9_001, 1e6 + 4, 1e6 + 5)],
    'duplicated conditional success': () => {
      const onlyOnce = (value: number): Action => ({ kind: 'put', value, condition: { kind: 'ifValue', value: 9_001 } });
      return [put(9_001, 1e6), done(onlyOnce(9_002), 1e6 + 2, 1e6 + 4, true), done(onlyOnce(9_003), 1e6 + 3, 1e6 + 5, true)];
    },
    'value that nobody wrote': () => [saw(77_777, 1e6, 1e6 + 1)],
    'two readers who disagree on the order': () => [
      put(9_001, 1e6),
      done({ kind: 'put', value: 9_002, condition: NONE }, 1e6 + 2, 1e6 + 20),
      saw(9_002, 1e6 + 3, 1e6 + 4),
      saw(9_001, 1e6 + 5, 1e6 + 6),
    ],
    'write of unknown outcome that happens twice': () => [
      { action: { kind: 'put', value: 9_001, condition: NONE }, outcome: { kind: 'unknown' }, calledAt: 1e6, returnedAt: 0 },
      put(9_002, 1e6 + 1),
      saw(9_001, 1e6 + 3, 1e6 + 4),
      put(9_003, 1e6 + 5),
      saw(9_001, 1e6 + 7, 1e6 + 8),
    ],
  };
}

function done(action: Action, calledAt: number, returnedAt: number, existed?: boolean): Operation {
  return { action, outcome: { kind: 'done', existed }, calledAt, returnedAt };
}

function put(value: number, calledAt: number): Operation {
  return done({ kind: 'put', value, condition: NONE }, calledAt, calledAt + 1);
}

function del(calledAt: number, existed?: boolean): Operation {
  return done({ kind: 'delete', condition: NONE }, calledAt, calledAt + 1, existed);
}

function saw(state: State, calledAt: number, returnedAt: number): Operation {
  return { action: { kind: 'get' }, outcome: { kind: 'saw', state }, calledAt, returnedAt };
}

interface Draft {
  readonly action: 'get' | 'put' | 'delete';
  readonly condition: Condition;
  readonly outcome: 'success' | 'failed' | 'unknown';
  readonly existed: boolean | undefined;
  readonly state: State;
  readonly calledAt: number;
  readonly lasts: number;
}

/** Few values and short times, so that they meet. */
const anyOperation: fc.Arbitrary<Draft> = fc.record({
  action: fc.constantFrom('get', 'get', 'put', 'put', 'delete'),
  condition: fc.oneof(
    { weight: 3, arbitrary: fc.constant<Condition>(NONE) },
    { weight: 2, arbitrary: fc.constantFrom<Condition>({ kind: 'ifAbsent' }, { kind: 'ifPresent' }) },
    { weight: 1, arbitrary: fc.nat(6).map((value): Condition => ({ kind: 'ifValue', value })) },
  ),
  outcome: fc.constantFrom('success', 'success', 'success', 'failed', 'unknown'),
  existed: fc.constantFrom(undefined, undefined, true, false),
  state: fc.integer({ min: ABSENT, max: 6 }),
  calledAt: fc.nat(12),
  lasts: fc.nat(8),
});

/** Values are the places of their puts, so each is written once. */
function operationOf({ action, condition, outcome, existed, state, calledAt, lasts }: Draft, value: number): Operation {
  const what: Action =
    action === 'get' ? { kind: 'get' } : action === 'put' ? { kind: 'put', value, condition } : { kind: 'delete', condition };
  const success: Outcome = action === 'get' ? { kind: 'saw', state } : { kind: 'done', existed };
  const isFailure = outcome === 'failed' && action !== 'get' && condition.kind !== 'none';
  return {
    action: what,
    outcome: outcome === 'unknown' ? { kind: 'unknown' } : isFailure ? { kind: 'failed' } : success,
    calledAt,
    returnedAt: calledAt + lasts,
  };
}

/** Tries every order, and every choice of what of the unknown happened. */
function someOrderExplains(history: readonly Operation[]): boolean {
  const explains = (state: State, left: readonly Operation[]): boolean => {
    const definite = left.filter(({ outcome }) => outcome.kind !== 'unknown');
    if (definite.length === 0) return true;
    const firstReturn = Math.min(...definite.map(({ returnedAt }) => returnedAt));
    return left.some((operation) => {
      // Whatever was called after another had returned comes after it.
      if (operation.calledAt > firstReturn) return false;
      const after = stateAfter(state, operation);
      return (
        after !== undefined &&
        explains(
          after,
          left.filter((each) => each !== operation),
        )
      );
    });
  };
  return explains(ABSENT, history);
}

/** A history as clients of a real register would note it: each operation has its effect at some moment between its call and its return. */
function simulated(random: () => number, options: { operations: number; clients: number; unknown: number }): Operation[] {
  const free = Array.from({ length: options.clients }, () => 0);
  const planned = Array.from({ length: options.operations }, (_, value) => {
    const client = Math.floor(random() * options.clients);
    const calledAt = free[client]! + random();
    const returnedAt = calledAt + random() * 3;
    free[client] = returnedAt;
    const isUnknown = random() < options.unknown;
    // That of an unknown one may come late, or never.
    const at = isUnknown ? calledAt + random() * (random() < 0.5 ? 4 : 400) : calledAt + random() * (returnedAt - calledAt);
    return { calledAt, returnedAt, at, isUnknown, value, dice: [random(), random(), random()] as const };
  });
  let state: State = ABSENT;
  const seen: number[] = [];
  const history: Operation[] = [];
  for (const { calledAt, returnedAt, at: _at, isUnknown, value, dice } of planned.toSorted((a, b) => a.at - b.at)) {
    const [what, which, any] = dice;
    const conditions: Condition[] = [NONE, NONE, { kind: 'ifAbsent' }, { kind: 'ifPresent' }];
    const known = seen[Math.floor(any * seen.length)];
    if (known !== undefined) conditions.push({ kind: 'ifValue', value: known }, { kind: 'ifValue', value: seen.at(-1)! });
    const condition = conditions[Math.floor(which * conditions.length)]!;
    const action: Action = what < 0.4 ? { kind: 'get' } : what < 0.85 ? { kind: 'put', value, condition } : { kind: 'delete', condition };
    const success: Operation = {
      action,
      outcome: action.kind === 'get' ? { kind: 'saw', state } : { kind: 'done', existed: state !== ABSENT },
      calledAt,
      returnedAt,
    };
    const after = stateAfter(state, success);
    const outcome: Outcome = isUnknown ? { kind: 'unknown' } : after === undefined ? { kind: 'failed' } : success.outcome;
    state = after ?? state;
    if (action.kind === 'put' && after !== undefined) seen.push(value);
    history.push({ action, outcome, calledAt, returnedAt });
  }
  return history;
}

function otherwise(operation: Operation, random: () => number): Operation {
  if (operation.outcome.kind === 'unknown') return operation;
  if (operation.action.kind === 'get') return { ...operation, outcome: { kind: 'saw', state: Math.floor(random() * 8) - 1 } };
  if (isReadOnly(operation)) return { ...operation, outcome: { kind: 'done', existed: undefined } };
  return { ...operation, outcome: { kind: 'done', existed: random() < 0.5 } };
}
