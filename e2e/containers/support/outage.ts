import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@diptych/kernel';
import { waitFor } from '@diptych/testing';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { OUTAGES, type Fate, type Fates, type FaultName, type Outage } from '../outage-table.js';
import { chosen } from './chosen.js';
import { Panels, type ArmName, type PanelsAddress } from './panels.js';
import { CAPABILITIES, PERIOD_MS, Probes, TIMEOUT_MS, type Capability } from './probes.js';
import { repeats } from './repeats.js';

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
  /** It takes a while to take hold: its beginning is when it was proved. */
  readonly beginsWhenProved?: boolean;
  /** From its beginning to its end, at least. Default: 4,200. */
  readonly lastsMs?: number;
  /** Nothing has to be taken back: how long it takes to be well again is counted from its beginning. */
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
  /** Of all answers that count. */
  readonly medianMs: Readonly<Record<Capability, number>>;
  /** From the end of the fault, or from its beginning where it ends by itself, until every capability had begun to be answered rightly for half a second. */
  readonly recoveryMs: number;
  readonly written: number;
  readonly lost: number;
  /** Calls made again by guards in the second after recovery. */
  readonly repeatsAfter: number;
  readonly proof: string;
  readonly answers: Readonly<Record<string, number>>;
}

const BASELINE_MS = 1_200;
const RECOVERY_MS_MAX = 30_000;
const STEADY_MS = 500;
const AFTER_MS = 1_000;

declare module 'vitest' {
  interface ProvidedContext {
    panels: PanelsAddress;
  }
}

/** A test for each row of a fault's table: the injection is proved, what survives is what was expected, it heals, nothing acknowledged is lost. */
export function describeOutages<F extends FaultName>(fault: F, injectionFor: (row: (typeof OUTAGES)[F][number]) => Injection): void {
  describe(fault, () => {
    const panels = new Panels(inject('panels'));
    let running: Run | undefined;
    afterEach(async () => running?.[Symbol.asyncDispose]());

    it.each(chosen<(typeof OUTAGES)[F][number]>(OUTAGES[fault], fault.length))('$arm, $name', async (row) => {
      for (let attempt = 1; ; attempt++) {
        const outage: Outage = row;
        running = new Run(panels, panels.address.urls[outage.over ?? outage.arm], injectionFor(row));
        await running.go(`${fault}/${row.name}/${Date.now()}`.replaceAll(' ', '-'));
        const { cell, sent, lost } = await running.findings(fault, row);
        await running[Symbol.asyncDispose]();
        if (sent < SENT_MIN) {
          const why = `void, ${fault}, ${row.arm}, ${row.name}: only ${Math.round(sent * 100)} % of the requests were sent when they were due`;
          if (attempt === ATTEMPTS_MAX) throw new Error(why);
          console.info(why);
          continue;
        }
        appendFileSync(join(panels.address.recordDir, 'cells.jsonl'), `${JSON.stringify(cell)}\n`);
        expect(lost, 'acknowledged and not there, or there and never written').toEqual([]);
        expect(cell.seen, `right: ${JSON.stringify(cell.shares)}, answers: ${JSON.stringify(cell.answers)}`).toEqual(row.expected);
        expect(cell.repeatsAfter, 'calls made again after it has healed').toBeLessThanOrEqual(REPEATS_AFTER_MAX);
        return;
      }
    });
  });
}

/** One fault in one arm, from a panel that is well to a panel that is well again. */
class Run implements AsyncDisposable {
  readonly #panels: Panels;
  readonly #url: string;
  readonly #injection: Injection;
  readonly #proofs: string[] = [];
  #probes: Probes | undefined;
  #undo: (() => Promise<void>) | undefined;
  #beganMs = NaN;
  #countedToMs = NaN;
  #endedMs = NaN;
  #wellMs = NaN;
  #repeatsAfter = NaN;

  constructor(panels: Panels, url: string, injection: Injection) {
    this.#panels = panels;
    this.#url = url;
    this.#injection = injection;
  }

  /** @throws Error when the panel is not well to begin with, the injection is not proved, or it does not heal */
  async go(prefix: string): Promise<void> {
    const [panels, injection, url] = [this.#panels, this.#injection, this.#url];
    const probes = (this.#probes = await Probes.start(url, prefix));
    await steady(probes, performance.now(), 'the panel is well to begin with');
    await passed(BASELINE_MS);

    this.#beganMs = performance.now();
    this.#undo = () => injection.end(panels);
    this.#proofs.push(await injection.begin(panels));
    if (injection.beginsWhenProved) this.#beganMs = performance.now();
    // What was due in the last second could still be answered in time by a part that has come back.
    await passed(this.#beganMs + (injection.lastsMs ?? 4_200) - TIMEOUT_MS - performance.now());
    this.#countedToMs = performance.now();
    await passed(TIMEOUT_MS);
    if (injection.during) this.#proofs.push(await injection.during(panels));
    this.#endedMs = performance.now();
    this.#undo = undefined;
    await injection.end(panels);
    this.#wellMs = await steady(probes, this.#healingMs, 'it heals by itself');

    const repeatsBefore = await repeats(url);
    await passed(AFTER_MS);
    this.#repeatsAfter = (await repeats(url)) - repeatsBefore;
    if (injection.after) this.#proofs.push(await injection.after(panels));
    await probes.stop();
  }

  get #healingMs(): number {
    return this.#injection.healsByItself ? this.#beganMs : this.#endedMs;
  }

  async findings(fault: FaultName, { name, arm, expected }: Outage): Promise<{ cell: Cell; sent: number; lost: readonly string[] }> {
    const probes = this.#probes!;
    const [fromMs, toMs] = [this.#beganMs + (this.#injection.settlesMs ?? 1_000), this.#countedToMs];
    const { read, lost } = await probes.readBack();
    const shares = perCapability((capability) => rightShare(probes, capability, fromMs, toMs, this.#endedMs));
    const goodShares = CAPABILITIES.map((capability) => goodShare(probes, capability, this.#beganMs, toMs));
    const cell: Cell = {
      fault,
      name,
      arm,
      expected,
      seen: perCapability((capability) => fateOf(shares[capability])),
      shares,
      goodput: goodShares.reduce((sum, share) => sum + share, 0) / CAPABILITIES.length,
      medianMs: perCapability((capability) => medianMs(probes, capability, fromMs, toMs)),
      recoveryMs: Math.round(this.#wellMs - this.#healingMs),
      written: read,
      lost: lost.length,
      repeatsAfter: this.#repeatsAfter,
      proof: this.#proofs.join('; '),
      answers: tally(probes, fromMs, toMs),
    };
    const sent = Math.min(...CAPABILITIES.map((capability) => (probes.due(capability, fromMs, toMs).length * PERIOD_MS) / (toMs - fromMs)));
    return { cell, sent, lost };
  }

  /** Takes the fault back if the run ended early: the next one shall find a whole panel. Safe to repeat. */
  async [Symbol.asyncDispose](): Promise<void> {
    const undo = this.#undo;
    this.#undo = undefined;
    await this.#probes?.[Symbol.asyncDispose]();
    await undo?.();
    await this.#injection.abandon?.();
  }
}

/** Of the requests that were due: a machine that is too busy to ask can say nothing. A slow panel makes no run void. */
const SENT_MIN = 0.75;
const ATTEMPTS_MAX = 4;

/** A fluke on a busy machine is no storm: a hundred requests and more are sent in that second. */
const REPEATS_AFTER_MAX = 3;

/** Waits until every capability has been answered rightly for half a second. @returns since when, by the clock of the probes */
async function steady(probes: Probes, fromMs: number, what: string): Promise<number> {
  const runs = await waitFor(
    () => {
      const since = CAPABILITIES.map((capability) => steadySince(probes, capability, fromMs));
      return since.every((each) => each !== undefined) && since;
    },
    { timeoutMs: RECOVERY_MS_MAX, what, pollMs: 50 },
  );
  return Math.max(...runs);
}

/** When the present run of right answers began, if it is long enough. */
function steadySince(probes: Probes, capability: Capability, fromMs: number): number | undefined {
  const due = probes.due(capability, fromMs, Infinity).sort((a, b) => a.dueMs - b.dueMs);
  const run = due.slice(due.findLastIndex(({ good }) => !good) + 1);
  const [first, last] = [run[0], run.at(-1)];
  return first && last && last.dueMs - first.dueMs >= STEADY_MS ? first.dueMs : undefined;
}

/** Late is a measure of its own: whether something can be done at all shall not depend on how busy the machine is. */
function rightShare(probes: Probes, capability: Capability, fromMs: number, toMs: number, endedMs: number): number {
  const due = probes.due(capability, fromMs, toMs);
  if (due.length < 10) throw new Error(`only ${due.length} requests for ${capability} were due while the fault lasted`);
  return due.filter(({ right, doneMs }) => right && doneMs <= endedMs).length / due.length;
}

function goodShare(probes: Probes, capability: Capability, fromMs: number, toMs: number): number {
  const due = probes.due(capability, fromMs, toMs);
  return due.filter(({ good }) => good).length / due.length;
}

function medianMs(probes: Probes, capability: Capability, fromMs: number, toMs: number): number {
  const times = probes.due(capability, fromMs, toMs).map(({ dueMs, doneMs }) => doneMs - dueMs);
  return Math.round(times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? NaN);
}

function fateOf(share: number): Fate {
  if (share >= 0.95) return 'survives';
  return share <= 0.05 ? 'fails' : 'interrupted';
}

function tally(probes: Probes, fromMs: number, toMs: number): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const capability of CAPABILITIES)
    for (const { answer } of probes.due(capability, fromMs, toMs)) {
      const kind = `${capability} ${answer}`;
      counts[kind] = (counts[kind] ?? 0) + 1;
    }
  return counts;
}

function perCapability<T>(of: (capability: Capability) => T): Record<Capability, T> {
  return Object.fromEntries(CAPABILITIES.map((capability) => [capability, of(capability)])) as Record<Capability, T>;
}

/** The time that a fault or a measurement lasts; nothing is waited for. */
function passed(delayMs: number): Promise<void> {
  return new Promise((resolve) => void systemClock.after(Math.max(0, delayMs), resolve));
}
