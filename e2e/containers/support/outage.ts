import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@diptych/kernel';
import { seededRandom, seedFromEnv, waitFor } from '@diptych/testing';
import { afterEach, describe, expect, inject, it } from 'vitest';
import { OUTAGES, type Fate, type Fates, type FaultName } from '../outage-table.js';
import { Panels, type ArmName, type PanelsAddress } from './panels.js';
import { CAPABILITIES, Probes, TIMEOUT_MS, type Capability } from './probes.js';
import { repeats } from './repeats.js';

/** A fault as a thing to do to a panel, and to take back. */
export interface Injection {
  /** What the operating system, the engine or the proxy says of it, in words. @throws Error when it cannot be shown to have happened */
  begin(panels: Panels): Promise<string>;
  /** More that can only be shown while it lasts. @throws Error when it cannot be shown */
  during?(panels: Panels): Promise<string>;
  end(panels: Panels): Promise<void>;
  /** From its beginning to its end, at least. Default: 4,200. */
  readonly lastsMs?: number;
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
  readonly goodShares: Readonly<Record<Capability, number>>;
  /** Right answers of all requests while it lasted, the first second included. */
  readonly goodput: number;
  readonly lateMs: Readonly<Record<Capability, number>>;
  /** From the end of the fault until every capability had begun to be answered rightly for half a second. */
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
    let probes: Probes | undefined;
    let undo: (() => Promise<void>) | undefined;
    afterEach(async () => {
      await probes?.[Symbol.asyncDispose]();
      // Only when the test ended early: the next one shall find a whole panel.
      await undo?.();
      undo = undefined;
    });

    it.each(chosen(fault))('$arm, $name', async (row) => {
      const { arm, name, expected } = row;
      const injection = injectionFor(row);
      probes = await Probes.start(panels.address.urls[arm], `${fault}/${name}/${Date.now()}`.replaceAll(' ', '-'));
      await steady(probes, performance.now(), 'the panel is well to begin with');
      await passed(BASELINE_MS);

      const beganMs = performance.now();
      undo = () => injection.end(panels);
      const proofs = [await injection.begin(panels)];
      const { lastsMs = 4_200, settlesMs = 1_000 } = injection;
      // What was due in the last second could still be answered in time by a part that has come back.
      await passed(beganMs + lastsMs - TIMEOUT_MS - performance.now());
      const countedToMs = performance.now();
      await passed(TIMEOUT_MS);
      if (injection.during) proofs.push(await injection.during(panels));
      undo = undefined;
      await injection.end(panels);
      const endedMs = performance.now();
      const wellMs = await steady(probes, endedMs, 'it heals by itself');
      const repeatsBefore = await repeats(panels.address.urls[arm]);
      await passed(AFTER_MS);
      const repeatsAfter = (await repeats(panels.address.urls[arm])) - repeatsBefore;
      await probes.stop();
      const { read, lost } = await probes.readBack();

      const goodShares = perCapability((capability) => goodShare(probes!, capability, beganMs + settlesMs, countedToMs));
      const seen = perCapability((capability) => fateOf(goodShares[capability]));
      const cell: Cell = {
        fault,
        name,
        arm,
        expected,
        seen,
        goodShares,
        goodput:
          CAPABILITIES.reduce((sum, capability) => sum + goodShare(probes!, capability, beganMs, countedToMs), 0) / CAPABILITIES.length,
        lateMs: perCapability((capability) => medianMs(probes!, capability, beganMs + settlesMs, countedToMs)),
        recoveryMs: Math.round(wellMs - endedMs),
        written: read,
        lost: lost.length,
        repeatsAfter,
        proof: proofs.join('; '),
        answers: tally(probes, beganMs + settlesMs, countedToMs),
      };
      appendFileSync(join(panels.address.recordDir, 'cells.jsonl'), `${JSON.stringify(cell)}\n`);
      expect(lost, 'acknowledged and not there, or there and never written').toEqual([]);
      expect(seen, `good: ${JSON.stringify(goodShares)}, answers: ${JSON.stringify(cell.answers)}`).toEqual(expected);
      expect(repeatsAfter, 'calls made again after it has healed').toBeLessThanOrEqual(REPEATS_AFTER_MAX);
    });
  });
}

/** A fluke on a busy machine is no storm: a hundred requests and more are sent in that second. */
const REPEATS_AFTER_MAX = 3;

/**
 * The rows of a fault that this run looks at: all; under CI, one of each fault and one more, by the run's seed.
 */
function chosen<F extends FaultName>(fault: F): ReadonlyArray<(typeof OUTAGES)[F][number]> {
  const rows = OUTAGES[fault] as ReadonlyArray<(typeof OUTAGES)[F][number]>;
  if (process.env['CI'] !== 'true' || process.env['DIPTYCH_LONG'] === '1' || rows.length <= 2) return rows;
  const random = seededRandom(seedFromEnv() + fault.length);
  const picked = new Set<number>();
  while (picked.size < 2) picked.add(Math.floor(random() * rows.length));
  return rows.filter((_, index) => picked.has(index));
}

/** Waits until every capability has been answered rightly for half a second. @returns since when, by the clock of the probes */
async function steady(probes: Probes, fromMs: number, what: string): Promise<number> {
  const runs = await waitFor(
    () => {
      const since = CAPABILITIES.map((capability) => steadySince(probes, capability, fromMs));
      return since.every((each) => each !== undefined) && (since as number[]);
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

function goodShare(probes: Probes, capability: Capability, fromMs: number, toMs: number): number {
  const due = probes.due(capability, fromMs, toMs);
  if (due.length < 10) throw new Error(`only ${due.length} requests for ${capability} were due while the fault lasted`);
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
