import { createHash } from 'node:crypto';
import type { FileSystem } from '../src/engine/file-system.js';
import type { Crash, Random } from './crash-state.js';
import { CrashState, crashAt, pick, randomPolicy } from './crash-state.js';
import type { Expectation } from './crash-verdict.js';
import { missingCuts, recoverAndCheck } from './crash-verdict.js';
import { FaultyFileSystem } from './faulty-file-system.js';
import type { History } from './crash-workload.js';
import { turns, Workload } from './crash-workload.js';
import { MemoryDisk } from './memory-disk.js';

export interface CrashReport {
  seed: number;
  workloads: number;
  /** Operations on the disk that were recorded. */
  operations: number;
  mutations: number;
  compactions: number;
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
 * @param options.wrap what is to be wrong with the disk, or with how the engine uses it
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
    this.#report = {
      seed,
      workloads: 0,
      operations: 0,
      mutations: 0,
      compactions: 0,
      images: 0,
      secondCrashes: 0,
      torn: 0,
      violations: [],
    };
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
    const workload = new Workload(disk, random, withShortWrites(wrap(disk), random));
    const history = await workload.run(bursts).catch((error: Error) => error);
    // On a broken disk even a restart may fail.
    if (history instanceof Error) return void this.#report.violations.push(`the workload failed: ${history.message}`);
    const state = new CrashState(disk.initial);
    const { records } = disk;
    this.#report.operations += records.length;
    this.#report.mutations += history.events.length;
    for (let step = 0; step <= records.length && this.#report.violations.length < violationsMax; step++) {
      if (step > 0) state.apply(records[step - 1]!);
      const expected = expectationAt(history, step);
      const others = Array.from({ length: imagesPerStep }, () => randomPolicy(random));
      const crashes: Crash[] = state.settled ? ['killed'] : ['killed', 'all lost', ...others];
      for (const crash of crashes) await this.#crash(state.crash(crash, random), expected, { workload, random, crash, step });
    }
    await workload.end();
    this.#report.compactions += workload.compactions;
  }

  async #crash(disk: MemoryDisk, expected: Expectation, at: Moment): Promise<void> {
    if (this.#isKnown(disk, expected)) return;
    const report = this.#report;
    report.images++;
    const { wrap } = this.#options;
    const { random } = at;
    const { clock } = at.workload;
    const began = disk.records.length;
    const { violations, history, openAt, cuts } = await recoverAndCheck(disk, wrap(disk), expected, clock, random);
    if (cuts.length > 0) report.torn++;
    if (this.#note(violations, at) || random() < 0.5) return;
    // The recovery crashes too, or what came right after it.
    const secondStep = began + Math.floor(random() * (disk.records.length + 1 - began));
    const crash = pick<Crash>(random, ['killed', 'all lost', randomPolicy(random), randomPolicy(random)]);
    const second = crashAt(disk, secondStep, crash, random);
    // Whatever could be read after the first recovery must be there after the second.
    const afterwards = secondStep < openAt ? expected : expectationAt(history, secondStep);
    if (this.#isKnown(second, afterwards)) return;
    report.images++;
    report.secondCrashes++;
    // What a killed process left was not synced: until the open has saved it, a power failure may take it, as nobody knew of it.
    const saved = secondStep >= openAt || at.crash !== 'killed';
    this.#note(saved ? missingCuts(second, cuts) : [], { ...at, crash, secondStep });
    const recovered = await recoverAndCheck(second, wrap(second), afterwards, clock, random);
    this.#note(recovered.violations, { ...at, crash, secondStep });
  }

  #isKnown(disk: MemoryDisk, { known, sent }: Expectation): boolean {
    const sum = createHash('sha1').update(`${this.#report.workloads} ${known} ${sent} ${disk.records.length}`);
    for (const path of disk.paths) sum.update(`\n${path}\n`).update(disk.bytesOf(path));
    const digest = sum.digest('base64');
    if (this.#seen.has(digest)) return true;
    this.#seen.add(digest);
    return false;
  }

  #note(violations: readonly string[], { crash, step, secondStep }: Moment): boolean {
    const { seed, workloads } = this.#report;
    const where = `seed ${seed} + ${workloads}, after ${step} operations${secondStep === undefined ? '' : ` and ${secondStep} more`}, ${JSON.stringify(crash)}`;
    for (const violation of violations) this.#report.violations.push(`${violation} (${where})`);
    return violations.length > 0;
  }
}

interface Moment {
  readonly workload: Workload;
  readonly random: Random;
  readonly crash: Crash;
  readonly step: number;
  readonly secondStep?: number;
}

/**
 * As a disk may, it now and then takes a part only; so a process can be killed between the parts. And now and then it takes its time, so that
 * another batch is staged meanwhile.
 */
function withShortWrites(disk: FileSystem, random: Random): FileSystem {
  const fileSystem = new FaultyFileSystem(disk);
  fileSystem.fault = (operation) => {
    if (operation === 'sync' && random() < 0.5) return { wait: turns(1 + Math.floor(random() * 4)) };
    return operation === 'write' && random() < 0.2 ? { bytes: 1 + Math.floor(random() * 600) } : undefined;
  };
  return fileSystem;
}

function expectationAt(history: History, step: number): Expectation {
  const { events } = history;
  return {
    history,
    known: events.findLastIndex(({ knownAt }) => knownAt <= step) + 1,
    sent: events.findLastIndex(({ sentAt }) => sentAt <= step) + 1,
  };
}
