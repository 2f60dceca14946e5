import { ABSENT, isReadOnly, stateAfter, UNSEEN, type Condition, type Operation, type State } from './register.js';

export type Verdict =
  | { readonly kind: 'linearizable'; readonly configurationsMax: number }
  /** No order of the operations up to this one's return explains all outcomes. */
  | { readonly kind: 'violation'; readonly at: Operation; readonly before: readonly Operation[]; readonly states: readonly State[] }
  /** More possibilities than `configurationsMax`: nothing can be said. */
  | { readonly kind: 'unknown'; readonly at: Operation };

/**
 * Whether the operations on one key are linearizable: each took effect at one moment between its call and its return, those of unknown outcome at any
 * moment after their call or never, and all outcomes are what a register gives in the order of these moments.
 *
 * After Wing and Gong, "Testing and Verifying Concurrent Objects" (1993), with the just-in-time linearization of Lowe, "Testing for
 * linearizability" (2017): going through calls and returns in the order of time, the checker keeps every *configuration* that explains what has been seen,
 * which is the state and which of the operations now under way have had their effect. An operation is given its effect no sooner than the
 * return of one that needs it. So memory is bounded by what is under way at one moment, however long the history, and configurations that are equal are
 * met once. A history of many keys is linearizable if that of each key is (Herlihy and Wing 1990, locality), so keys are checked by themselves.
 *
 * Three things keep the configurations few, and lose none that matters:
 *
 *   - What changes nothing has its effect as soon as it can: that never hinders another.
 *   - An operation of unknown outcome has its effect only right before one that would not be possible without it: else it can as well be
 *     later or never. Those that do the same are counted, not named, and a configuration that has used no more of each than an equal one replaces it.
 *   - A value of unknown outcome that no operation ever names is `UNSEEN`, whichever it was.
 *
 * @param operations of one key, in any order
 * @param initial the state before all of them
 */
export function checkKey(
  operations: readonly Operation[],
  { initial = ABSENT, configurationsMax = 1_000_000 }: { initial?: State; configurationsMax?: number } = {},
): Verdict {
  const history = new History(operations);
  let configurations: Configuration[] = [{ state: initial, done: [], used: [] }];
  let most = 1;
  for (const { isCall, index } of history.events) {
    if (isCall) {
      history.call(index);
      configurations = configurations.map((configuration) => history.withReads(configuration));
      continue;
    }
    const next = history.linearize(configurations, index, configurationsMax);
    if (!next) return { kind: 'unknown', at: operations[index]! };
    if (next.size === 0) {
      const states = [...new Set(configurations.map(({ state }) => state))];
      return { kind: 'violation', at: operations[index]!, before: history.lastReturned, states };
    }
    history.returned(index);
    configurations = [...next];
    most = Math.max(most, configurations.length);
  }
  return { kind: 'linearizable', configurationsMax: most };
}

interface Configuration {
  readonly state: State;
  /** Of the operations under way, those that have had their effect: ascending. */
  readonly done: readonly number[];
  /** Of the operations of unknown outcome, how many of each class have had an effect. */
  readonly used: readonly number[];
}

/** Operations of unknown outcome that do the same. */
interface UnknownClass {
  readonly id: number;
  readonly operation: Operation;
  called: number;
}

const BEFORE_MAX = 12;

/** The calls and returns of one key, and what is under way. */
class History {
  readonly events: ReadonlyArray<{ readonly isCall: boolean; readonly index: number }>;
  readonly lastReturned: Operation[] = [];
  readonly #operations: readonly Operation[];
  readonly #underWay = new Set<number>();
  readonly #classes = new Map<string, UnknownClass>();
  readonly #seen: ReadonlySet<number>;

  constructor(operations: readonly Operation[]) {
    this.#operations = operations;
    this.#seen = seenValues(operations);
    const events: Array<{ isCall: boolean; index: number; at: number }> = [];
    for (const [index, { outcome, action, calledAt, returnedAt }] of operations.entries()) {
      if (outcome.kind === 'unknown' && action.kind === 'get') continue;
      events.push({ isCall: true, index, at: calledAt });
      if (outcome.kind !== 'unknown') events.push({ isCall: false, index, at: returnedAt });
    }
    // What has the same time may have overlapped, so calls come first.
    this.events = events.sort((a, b) => a.at - b.at || Number(b.isCall) - Number(a.isCall));
  }

  call(index: number): void {
    const operation = this.#operations[index]!;
    if (operation.outcome.kind !== 'unknown') this.#underWay.add(index);
    else this.#classOf(operation).called++;
  }

  returned(index: number): void {
    this.#underWay.delete(index);
    this.lastReturned.push(this.#operations[index]!);
    if (this.lastReturned.length > BEFORE_MAX) this.lastReturned.shift();
  }

  /** All that is under way, changes nothing and is possible now, has its effect. */
  withReads(configuration: Configuration): Configuration {
    const { state, done, used } = configuration;
    let reads: number[] | undefined;
    for (const index of this.#underWay) {
      const operation = this.#operations[index]!;
      if (isReadOnly(operation) && !done.includes(index) && stateAfter(state, operation) !== undefined) (reads ??= []).push(index);
    }
    return reads ? { state, done: [...done, ...reads].sort((a, b) => a - b), used } : configuration;
  }

  /**
   * From each configuration every way to give effect to what is under way, up to and with the operation that now returns. What two of them lead to
   * is gone through once.
   *
   * @returns undefined when there are more than `max` on the way
   */
  linearize(configurations: readonly Configuration[], returning: number, max: number): Frontier | undefined {
    const next = new Frontier();
    const visited = new Set<string>();
    const stack: Step[] = configurations.map((configuration) => ({ configuration, before: undefined }));
    for (let step = stack.pop(); step; step = stack.pop()) {
      const { configuration, before } = step;
      if (configuration.done.includes(returning)) {
        next.add(withoutReturned(configuration, returning));
        continue;
      }
      const name = `${nameOf(configuration)}|${before ?? ''}`;
      if (visited.has(name)) continue;
      visited.add(name);
      if (visited.size > max || next.size > max) return undefined;
      this.#pushSteps(configuration, before, stack);
    }
    return next;
  }

  #pushSteps({ state, done, used }: Configuration, before: State | undefined, stack: Step[]): void {
    const isNeeded = (operation: Operation) => before === undefined || stateAfter(before, operation) === undefined;
    for (const index of this.#underWay) {
      const operation = this.#operations[index]!;
      if (isReadOnly(operation) || done.includes(index) || !isNeeded(operation)) continue;
      const after = stateAfter(state, operation);
      if (after === undefined) continue;
      const sorted = [...done, index].sort((a, b) => a - b);
      stack.push({ configuration: this.withReads({ state: after, done: sorted, used }), before: undefined });
    }
    for (const { id, operation, called } of this.#classes.values()) {
      if ((used[id] ?? 0) >= called || !isNeeded(operation)) continue;
      const after = stateAfter(state, operation);
      if (after === undefined || after === state) continue;
      const more = Array.from({ length: Math.max(used.length, id + 1) }, (_, i) => (used[i] ?? 0) + Number(i === id));
      const configuration = { state: after, done, used: more };
      const withReads = this.withReads(configuration);
      // A read that was waiting for it needs it; else whatever comes next must.
      stack.push({ configuration: withReads, before: withReads === configuration ? state : undefined });
    }
  }

  #classOf({ action, outcome, calledAt, returnedAt }: Operation): UnknownClass {
    if (action.kind === 'get') throw new TypeError('a get of unknown outcome says nothing');
    const value = action.kind === 'put' ? (this.#seen.has(action.value) ? action.value : UNSEEN) : ABSENT;
    const name = `${value} ${conditionName(action.condition)}`;
    let found = this.#classes.get(name);
    if (!found) {
      const same = action.kind === 'put' ? { ...action, value } : action;
      const operation: Operation = { action: same, outcome, calledAt, returnedAt };
      this.#classes.set(name, (found = { id: this.#classes.size, operation, called: 0 }));
    }
    return found;
  }
}

interface Step {
  readonly configuration: Configuration;
  /** The state before an operation of unknown outcome that nothing has needed yet. */
  readonly before: State | undefined;
}

/** Configurations without those that another makes superfluous: equal, and with no more used. */
class Frontier {
  readonly #byName = new Map<string, Array<readonly number[]>>();
  readonly #configurations = new Map<string, Configuration>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(configuration: Configuration): void {
    const name = `${configuration.state}|${configuration.done.join()}`;
    const all = this.#byName.get(name) ?? [];
    if (all.some((used) => isAtMost(used, configuration.used))) return;
    const kept = all.filter((used) => !isAtMost(configuration.used, used));
    kept.push(configuration.used);
    this.#size += kept.length - all.length;
    this.#byName.set(name, kept);
    this.#configurations.set(name, configuration);
  }

  *[Symbol.iterator](): Generator<Configuration> {
    for (const [name, { state, done }] of this.#configurations) for (const used of this.#byName.get(name)!) yield { state, done, used };
  }
}

function isAtMost(a: readonly number[], b: readonly number[]): boolean {
  return a.every((count, i) => count <= (b[i] ?? 0));
}

function withoutReturned({ state, done, used }: Configuration, index: number): Configuration {
  return { state, done: done.filter((each) => each !== index), used };
}

function nameOf({ state, done, used }: Configuration): string {
  return `${state}|${done.join()}|${used.join()}`;
}

/** Those that some outcome or condition names. */
function seenValues(operations: readonly Operation[]): Set<number> {
  const seen = new Set<number>();
  for (const { action, outcome } of operations) {
    if (outcome.kind === 'saw') seen.add(outcome.state);
    if (action.kind !== 'get' && action.condition.kind === 'ifValue') seen.add(action.condition.value);
  }
  return seen;
}

function conditionName(condition: Condition): string {
  return condition.kind === 'ifValue' ? `ifValue ${condition.value}` : condition.kind;
}
