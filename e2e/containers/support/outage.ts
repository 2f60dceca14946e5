import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@diptych/kernel';
import { describe, expect, inject, it } from 'vitest';
import { goodputOf, OUTAGES, WELL_WITHIN_MS, type Fates, type FaultName, type Outage } from '../outage-table.js';
import { chosen } from './chosen.js';
import { Panels, type ArmName, type PanelsAddress } from './panels.js';
import { TIMEOUT_MS, type Capability } from './probes.js';
import { Watch, type Course } from './watch.js';

/** A fault as a thing to do to a panel, and to take back. */
export interface Injection {
  /** Resolves with what the operating system, the engine or the proxy says of it. @throws Error when it cannot be shown to have happened */
  begin(panels: Panels): Promise<string>;
  /** More that can only be shown while it lasts. @throws Error when it cannot be shown */
  during?(panels: Panels): Promise<string>;
  end(panels: Panels): Promise<void>;
  /** What has to be true when it has been well for a second. @throws Error when it is not */
  after?(panels: Panels): Promise<string>;
  /** Ends what it has left running in this process. Safe to repeat. */
  abandon?(): Promise<void>;
  /** Whether its beginning is when it was proved, or when that was begun. Default: when it was proved; where it heals by itself, when that was begun. */
  readonly beginsWhenProved?: boolean;
  /** From its beginning to its end, at least. Default: 4,200. */
  readonly lastsMs?: number;
  /** Nothing has to be taken back: it lasts until it is well again, and how long that takes is counted from its beginning. */
  readonly healsByItself?: boolean;
  /** From its beginning until what it does counts. Default: 1,000. */
  readonly settlesMs?: number;
}

/** What a run found out about a fault in an arm. */
export interface Cell {
  readonly fault: FaultName;
  readonly name: string;
  readonly arm: ArmName;
  readonly expected: Fates;
  readonly seen: Fates;
  /** Right answers of all requests that count, however late, as long as the fault lasted. */
  readonly shares: Readonly<Record<Capability, number>>;
  /** Right answers within a second, of all requests while it lasted, the first second included. */
  readonly goodput: number;
  /** From its beginning until what survives did so: until the last two in a row of something that survives were wrong or late. */
  readonly unsettledMs: number;
  /** Of all answers that count. */
  readonly medianMs: Readonly<Record<Capability, number>>;
  /** From the end of the fault, or from its beginning where it ends by itself, until every capability had begun to be answered rightly for half a second. */
  readonly recoveryMs: number;
  /** Keys with an acknowledged write or delete. */
  readonly written: number;
  readonly lost: number;
  /** Calls made again by guards in the second after recovery. */
  readonly repeatsAfter: number;
  readonly proof: string;
  readonly answers: Readonly<Record<string, number>>;
}

declare module 'vitest' {
  interface ProvidedContext {
    panels: PanelsAddress;
  }
}

/** One thing that is done, and the rows that look at what becomes of it: one, or one of each arm. */
interface Trial<Row> {
  readonly name: string;
  readonly rows: readonly [Row, ...Row[]];
}

export interface OutagesOptions {
  /** It takes so much of the machine that nothing else can be looked at meanwhile. */
  readonly alone?: boolean;
}

/**
 * A test for each thing that a fault's table does: the injection is proved, what survives is what was expected, it heals, nothing acknowledged is
 * lost. Rows of one name look at the same injection. What is done to one arm alone runs beside what is done to the other, unless it is to be `alone`.
 */
export function describeOutages<F extends FaultName>(
  fault: F,
  injectionFor: (row: (typeof OUTAGES)[F][number]) => Injection,
  { alone = false }: OutagesOptions = {},
): void {
  const panels = () => new Panels(inject('panels'));
  const trials = chosen(trialsOf<(typeof OUTAGES)[F][number] & Outage>(OUTAGES[fault]), fault.length);
  const define = ({ name, rows }: (typeof trials)[number]) =>
    it(`${rows.map(({ arm }) => arm).join(' and ')}, ${name}`, { concurrent: false }, ({ onTestFinished }) =>
      tried(panels(), { fault, name, rows, injectionFor: () => injectionFor(rows.at(-1)!) }, onTestFinished),
    );
  describe(fault, () => {
    const lanes = Object.groupBy(trials, ({ rows }) => (alone || rows.length > 1 ? 'both' : rows[0].arm));
    lanes.both?.forEach(define);
    for (const arm of ['monolith', 'services'] as const) if (lanes[arm]) describe.concurrent(arm, () => lanes[arm]!.forEach(define));
  });
}

function trialsOf<Row extends Outage>(rows: readonly Row[]): Array<Trial<Row>> {
  return [...Map.groupBy(rows, ({ name }) => name)].map(([name, [first, ...others]]) => ({ name, rows: [first!, ...others] }));
}

interface ToTry extends Trial<Outage> {
  readonly fault: FaultName;
  readonly injectionFor: () => Injection;
}

async function tried(panels: Panels, trial: ToTry, onFinished: (end: () => Promise<void>) => void): Promise<void> {
  const { fault, name, rows } = trial;
  for (let attempt = 1; ; attempt++) {
    const run = new Run(panels, trial.injectionFor());
    onFinished(() => run[Symbol.asyncDispose]());
    const course = await run.go(rows, `${fault}/${name}/${Date.now()}`.replaceAll(' ', '-'));
    const found = await Promise.all(run.watches.map((watch) => watch.findings(fault, course)));
    await run[Symbol.asyncDispose]();
    // Also of a run that says nothing else.
    for (const { cell, lost } of found) expect(lost, `${cell.arm}: acknowledged and not there, or there and never written`).toEqual([]);
    const sent = Math.min(...found.map((each) => each.sent));
    if (sent < SENT_MIN) {
      const why = `void, ${fault}, ${name}: only ${Math.round(sent * 100)} % of the requests were sent when they were due`;
      if (attempt === ATTEMPTS_MAX) throw new Error(why);
      console.info(why);
      continue;
    }
    for (const { cell } of found) appendFileSync(join(panels.address.recordDir, 'cells.jsonl'), `${JSON.stringify(cell)}\n`);
    for (const { cell } of found) {
      expect(cell.seen, `${cell.arm}, right: ${JSON.stringify(cell.shares)}, answers: ${JSON.stringify(cell.answers)}`).toEqual(
        cell.expected,
      );
      const [least, most] = goodputOf(cell.expected);
      expect(cell.goodput, `${cell.arm}: right within a second, of all`).toBeGreaterThanOrEqual(least);
      expect(cell.goodput, `${cell.arm}: right within a second, of all`).toBeLessThanOrEqual(most);
      expect(cell.recoveryMs, `${cell.arm}: well again, in ms`).toBeLessThanOrEqual(WELL_WITHIN_MS[fault] ?? WELL_WITHIN_MS.others);
      expect(cell.repeatsAfter, `${cell.arm}: calls made again after it has healed`).toBeLessThanOrEqual(REPEATS_AFTER_MAX);
    }
    return;
  }
}

/** One fault, from panels that are well to panels that are well again. */
class Run implements AsyncDisposable {
  readonly watches: Watch[] = [];
  readonly #panels: Panels;
  readonly #injection: Injection;
  #undo: (() => Promise<void>) | undefined;

  constructor(panels: Panels, injection: Injection) {
    this.#panels = panels;
    this.#injection = injection;
  }

  /** @throws Error when a panel is not well to begin with, the injection is not proved, or it does not heal */
  async go(rows: readonly Outage[], prefix: string): Promise<Course> {
    const [panels, injection] = [this.#panels, this.#injection];
    for (const row of rows) this.watches.push(await Watch.start(row, panels.address.urls[row.over ?? row.arm], prefix));
    const all = (of: (watch: Watch) => Promise<void>) => Promise.all(this.watches.map(of));

    let beganMs = performance.now();
    this.#undo = () => injection.end(panels);
    const proofs = [await injection.begin(panels)];
    if (injection.beginsWhenProved ?? !injection.healsByItself) beganMs = performance.now();
    // What was due in the last second could still be answered in time by a part that has come back.
    let untilMs = beganMs + (injection.lastsMs ?? LASTS_MS) - TIMEOUT_MS;
    if (injection.healsByItself) {
      // What hung when it began has failed by now, and is not taken for health.
      await all((watch) => watch.answered());
      await all((watch) => watch.untilWell(beganMs));
      untilMs = Math.max(untilMs, ...this.watches.map(({ wellMs }) => wellMs + WELL_MS));
    }
    await passed(untilMs - performance.now());
    const toMs = performance.now();
    await passed(TIMEOUT_MS);
    if (injection.during) proofs.push(await injection.during(panels));
    const endedMs = performance.now();
    this.#undo = undefined;
    await injection.end(panels);
    const healingMs = injection.healsByItself ? beganMs : endedMs;
    await all((watch) => watch.untilWell(healingMs));

    await all((watch) => watch.countRepeats());
    await passed(AFTER_MS);
    await all((watch) => watch.noteRepeats());
    if (injection.after) proofs.push(await injection.after(panels));
    await all((watch) => watch.stop());
    return { beganMs, fromMs: beganMs + (injection.settlesMs ?? SETTLES_MS), toMs, endedMs, healingMs, proof: proofs.join('; ') };
  }

  /** Takes the fault back if the run ended early: the next one shall find a whole panel. Safe to repeat. */
  async [Symbol.asyncDispose](): Promise<void> {
    const undo = this.#undo;
    this.#undo = undefined;
    await Promise.all(this.watches.map((watch) => watch[Symbol.asyncDispose]()));
    await undo?.();
    await this.#injection.abandon?.();
  }
}

const LASTS_MS = 4_200;
const SETTLES_MS = 1_000;
/** For so long what heals by itself is seen well, so that it is seen to come back. */
const WELL_MS = 1_500;
const AFTER_MS = 1_000;

/** Of the requests that were due: a machine that is too busy to ask can say nothing. A slow panel makes no run void. */
const SENT_MIN = 0.75;
const ATTEMPTS_MAX = 4;

/** A fluke on a busy machine is no storm: a hundred requests and more are sent in that second. */
const REPEATS_AFTER_MAX = 3;

/** The time that a fault or a measurement lasts; nothing is waited for. */
function passed(delayMs: number): Promise<void> {
  return new Promise((resolve) => void systemClock.after(Math.max(0, delayMs), resolve));
}
