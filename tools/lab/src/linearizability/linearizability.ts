import { join } from 'node:path';
import { systemClock } from '@diptych/kernel';
import { Arm, metricOf, MONOLITHS, profile } from '@diptych/testing';
import { interruption } from '../interruption.js';
import { describeRun } from '../manifest.js';
import { beginRunDirectory, writeWhole } from '../run-directory.js';
import { killProvably } from '../start-arm.js';
import { checkKey } from './checker.js';
import type { KeyHistories } from './history.js';
import type { Operation } from './register.js';
import { runWorkload, WORKLOAD } from './workload.js';

export interface LinearizabilityOptions {
  readonly seed: number | undefined;
  readonly outDir: string | undefined;
  /** Of each arm; default 20,000. */
  readonly operations: number | undefined;
  /** Of each arm; default one for 25,000 operations, 2 at least. */
  readonly crashes: number | undefined;
  /** Default: all that promise it. */
  readonly arm: string | undefined;
}

/**
 * Whether get, put, delete and conditional writes of each key are linearizable in the arms that promise it, with clients that overlap, under SIGKILL and
 * restart.
 *
 * @returns 0 no violation, 1 a violation, 2 it cannot be said
 */
export async function linearizability(options: LinearizabilityOptions): Promise<number> {
  const arms = MONOLITHS.filter(({ name }) => options.arm === undefined || name === options.arm);
  if (arms.length === 0) throw new TypeError(`--arm wants one of ${MONOLITHS.map(({ name }) => name).join(', ')}, got ${options.arm}`);
  const seed = options.seed ?? Math.floor(Math.random() * 1_000_000_000);
  const operations = options.operations ?? 20_000;
  const crashes = options.crashes ?? Math.max(2, Math.round(operations / 25_000));
  const plan = { operations, crashes, arms: arms.map(({ name }) => name), ...WORKLOAD, cacheEntriesMax: CACHE_ENTRIES_MAX };
  const more = ` --operations ${operations} --crashes ${crashes}${options.arm === undefined ? '' : ` --arm ${options.arm}`}`;
  const meta = describeRun({ command: 'lab -- linearizability', seed, options: more, startedAt: new Date(), profile: profile(), plan });
  const dir = beginRunDirectory('linearizability', options.outDir, meta, plan);
  using interrupt = interruption((line) => void process.stderr.write(`${line}\n`));
  const found: ArmFinding[] = [];
  for (const spec of arms) {
    if (interrupt.signal.aborted) break;
    process.stdout.write(`${spec.name}: ${operations} operations, ${crashes} crashes, seed ${seed}\n`);
    const startedMs = systemClock.nowMs();
    await using arm = await Arm.start(spec, { variables: { DIPTYCH_CACHE_ENTRIES_MAX: String(CACHE_ENTRIES_MAX) } });
    let evictions = 0;
    const countEvictions = async () => void (evictions += await metricOf(arm.url, 'diptych_cache_evictions_total'));
    const crash = async () => {
      // What it counted dies with it.
      await countEvictions();
      const injection = await killProvably(spec.name, arm.process(arm.holding('log')));
      if ('whyNot' in injection) throw new Error(injection.whyNot);
      await arm.restart('log');
      await arm.untilReady();
    };
    const histories = await runWorkload({ url: arm.url, crash }, { operations, crashes, seed, signal: interrupt.signal });
    await countEvictions();
    const loadSeconds = Math.round((systemClock.nowMs() - startedMs) / 100) / 10;
    const finding = { arm: spec.name, ...judge(histories), evictions, loadSeconds };
    found.push(finding);
    process.stdout.write(`${inWords(finding)}\n`);
  }
  writeWhole(join(dir, 'results.json'), `${JSON.stringify({ format: 'lab-linearizability/1', ...meta, found }, undefined, 1)}\n`);
  process.stdout.write(`results  ${join(dir, 'results.json')}\n`);
  if (found.some(({ violations }) => violations.length > 0)) return 1;
  return interrupt.signal.aborted || found.some(({ undecided }) => undecided > 0) ? 2 : 0;
}

/** Fewer than there are keys, so that entries are evicted while they are read, filled and written; two in each shard of a cache that has shards. */
const CACHE_ENTRIES_MAX = 128;

interface ArmFinding extends Judgement {
  readonly arm: string;
  /** Entries that the cache had to let go of for others, as far as it could be asked before it was killed. */
  readonly evictions: number;
  readonly loadSeconds: number;
}

interface Judgement {
  readonly counts: KeyHistories['counts'];
  readonly keys: number;
  /** Keys of which it is known whether they are linearizable. */
  readonly judged: number;
  readonly violations: readonly Violation[];
  /** Keys with more possibilities than could be gone through. */
  readonly undecided: number;
  /** The most possibilities at one moment, of one key. */
  readonly configurationsMax: number;
  readonly checkSeconds: number;
}

interface Violation {
  readonly key: string;
  readonly at: Operation;
  readonly before: readonly Operation[];
}

function judge(histories: KeyHistories): Judgement {
  const startedMs = systemClock.nowMs();
  const violations: Violation[] = [];
  let undecided = 0;
  let configurationsMax = 0;
  for (const [key, operations] of histories) {
    const verdict = checkKey(operations);
    if (verdict.kind === 'violation') violations.push({ key, at: verdict.at, before: verdict.before });
    else if (verdict.kind === 'unknown') undecided++;
    else configurationsMax = Math.max(configurationsMax, verdict.configurationsMax);
  }
  const checkSeconds = Math.round((systemClock.nowMs() - startedMs) / 100) / 10;
  return {
    counts: histories.counts,
    keys: histories.keys,
    judged: histories.keys - undecided,
    violations,
    undecided,
    configurationsMax,
    checkSeconds,
  };
}

function inWords({ arm, counts, keys, judged, violations, undecided, evictions, ...took }: ArmFinding): string {
  const { operations, acknowledged, failedConditions, unknown, refused } = counts;
  const lines = [
    `${arm}: ${violations.length} violations in ${operations} operations on ${keys} keys: ${judged} judged, ${undecided} undecided`,
    `  ${acknowledged} acknowledged, ${failedConditions} with a condition that failed, ${unknown} of unknown outcome, ${refused} refused for certain`,
    `  ${evictions} evictions from a cache of ${CACHE_ENTRIES_MAX} entries`,
    `  ${took.loadSeconds} s of load, ${took.checkSeconds} s of checking, at most ${took.configurationsMax} possibilities at once`,
    ...violations.slice(0, 3).map(({ key, at }) => `  ${key}: ${JSON.stringify(at)} is explained by no order`),
  ];
  return lines.join('\n');
}
