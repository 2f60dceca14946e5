import { createHash } from 'node:crypto';
import type { FileSystem } from '../src/engine/file-system.js';
import type { CrashPolicy, Random } from './crash-state.js';
import { ALL_LOST, CrashState, NOTHING_LOST, randomPolicy } from './crash-state.js';
import type { Expectation } from './crash-verdict.js';
import { recoverAndCheck } from './crash-verdict.js';
import type { History } from './crash-workload.js';
import { Workload } from './crash-workload.js';
import type { DiskContent } from './memory-disk.js';
import { MemoryDisk } from './memory-disk.js';

export interface CrashReport {
  seed: number;
  workloads: number;
  /** Operations on the disk that were recorded. */
  operations: number;
  mutations: number;
  /** Recovered, no two the same. */
  images: number;
  /** Of them, of a crash during or after a recovery. */
  secondCrashes: number;
  /** Of them, those whose torn tail was cut. */
  torn: number;
  /** The first few, each with what repeats it. */
  violations: string[];
}

/**
 * Crashes a log at every operation on its disk, in several ways each, and recovers every image.
 *
 * @param options.images stops after so many, at the end of a workload
 * @param options.wrap what is to be wrong with the disk, or with how the engine uses it, while the workload runs
 */
export async function crashEverywhere(options: {
  seed: number;
  images: number;
  random: (seed: number) => Random;
  bursts?: number;
  imagesPerStep?: number;
  violationsMax?: number;
  wrap?: (disk: MemoryDisk) => FileSystem;
}): Promise<CrashReport> {
  const suite = new CrashSuite({ bursts: 25, imagesPerStep: 4, violationsMax: 5, wrap: (disk) => disk, ...options });
  return suite.run();
}

class CrashSuite {
  readonly #options: Required<Parameters<typeof crashEverywhere>[0]>;
  readonly #report: CrashReport;
  readonly #seen = new Set<string>();

  constructor(options: Required<Parameters<typeof crashEverywhere>[0]>) {
    this.#options = options;
    const { seed } = options;
    this.#report = { seed, workloads: 0, operations: 0, mutations: 0, images: 0, secondCrashes: 0, torn: 0, violations: [] };
  }

  async run(): Promise<CrashReport> {
    const { images, violationsMax, seed, random } = this.#options;
    const report = this.#report;
    for (; report.images < images && report.violations.length < violationsMax; report.workloads++)
      await this.#workload(random(seed + report.workloads));
    return report;
  }

  async #workload(random: Random): Promise<void> {
    const { wrap, bursts, imagesPerStep, violationsMax } = this.#options;
    const disk = new MemoryDisk();
    const workload = new Workload(disk, random, wrap(disk));
    const history = await workload.run(bursts);
    const state = new CrashState(disk.initial);
    const { records } = disk;
    this.#report.operations += records.length;
    this.#report.mutations += history.events.length;
    for (let step = 0; step <= records.length && this.#report.violations.length < violationsMax; step++) {
      if (step > 0) state.apply(records[step - 1]!);
      const expected = expectationAt(history, step);
      const policies = state.settled
        ? [NOTHING_LOST]
        : [NOTHING_LOST, ALL_LOST, ...Array.from({ length: imagesPerStep }, () => randomPolicy(random))];
      for (const policy of policies) await this.#crash(state.image(policy, random), expected, { workload, random, policy, step });
    }
    await workload.end();
  }

  async #crash(image: DiskContent, expected: Expectation, at: Moment): Promise<void> {
    const report = this.#report;
    if (this.#isKnown(image, expected)) return;
    report.images++;
    const disk = new MemoryDisk(image);
    const { violations, history, openAt, warnings } = await recoverAndCheck(disk, expected, at.workload.clock, at.random);
    if (warnings.length > 0) report.torn++;
    if (this.#note(violations, at) || at.random() < 0.6) return;
    // The recovery crashes too, or what came right after it.
    const step = Math.floor(at.random() * (disk.records.length + 1));
    const state = new CrashState(disk.initial);
    for (const record of disk.records.slice(0, step)) state.apply(record);
    const policy = randomPolicy(at.random);
    const second = state.image(policy, at.random);
    // Whatever could be read after the first recovery must be there after the second.
    const afterwards =
      step < openAt ? { ...expected, sent: Math.min(expected.sent, expected.history.events.length) } : expectationAfter(history, step);
    if (this.#isKnown(second, afterwards)) return;
    report.images++;
    report.secondCrashes++;
    const recovered = await recoverAndCheck(new MemoryDisk(second), afterwards, at.workload.clock, at.random);
    this.#note(recovered.violations, { ...at, policy, step: at.step, secondStep: step });
  }

  #isKnown(image: DiskContent, { known, sent }: Expectation): boolean {
    const sum = createHash('sha1').update(`${this.#report.workloads} ${known} ${sent}`);
    for (const [path, node] of [...image.names].sort(([a], [b]) => (a < b ? -1 : 1))) {
      sum.update(`\n${path}\n`);
      if (node !== 'directory') sum.update(image.files.get(node)!);
    }
    const digest = sum.digest('base64');
    if (this.#seen.has(digest)) return true;
    this.#seen.add(digest);
    return false;
  }

  #note(violations: readonly string[], { policy, step, secondStep }: Moment): boolean {
    const { seed, workloads } = this.#report;
    const where = `seed ${seed} + ${workloads}, after ${step} operations${secondStep === undefined ? '' : ` and ${secondStep} more`}, ${JSON.stringify(policy)}`;
    for (const violation of violations) this.#report.violations.push(`${violation} (${where})`);
    return violations.length > 0;
  }
}

interface Moment {
  readonly workload: Workload;
  readonly random: Random;
  readonly policy: CrashPolicy;
  readonly step: number;
  readonly secondStep?: number;
}

function expectationAt(history: History, step: number): Expectation {
  const { events } = history;
  return {
    history,
    known: events.findLastIndex(({ knownAt }) => knownAt <= step) + 1,
    sent: events.findLastIndex(({ sentAt }) => sentAt <= step) + 1,
  };
}

/** All that was there at the open is known; the last event is the append after it. */
function expectationAfter(history: History, step: number): Expectation {
  const last = history.events.at(-1)!;
  const before = history.events.length - 1;
  const known = before + (last.knownAt <= step ? 1 : 0);
  return { history, known, sent: before + (last.sentAt <= step ? 1 : 0) };
}
