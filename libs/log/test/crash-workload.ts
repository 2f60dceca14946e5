import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CallContext } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import type { FileLogOptions } from '../src/engine/file-log-options.js';
import type { FileLog } from '../src/engine/file-log.js';
import { openFileLog } from '../src/engine/file-log.js';
import type { FileSystem } from '../src/engine/file-system.js';
import type { AppendReply, AppendRequest, Condition } from '../src/log.port.js';
import type { Random } from './crash-state.js';
import { pick } from './crash-state.js';
import { bytesOf } from './log-fixture.js';
import type { MemoryDisk } from './memory-disk.js';

const DIRECTORY = '/log';

/** One mutation that came to be, and when, counted in the disk's records. */
export interface Event {
  /** By the clock. */
  readonly atMs: number;
  readonly request: AppendRequest;
  readonly reply: AppendReply;
  readonly sentAt: number;
  /** When somebody first could know of it: by its answer, or by a commit that was announced. */
  readonly knownAt: number;
}

/** All mutations of a run without faults, by revision. Every crash must leave the first so many of them, and no others. */
export interface History {
  readonly events: readonly Event[];
  /** How the log was opened. */
  readonly window: Window;
}

/** What of its request ids the log remembers. Compaction drops the rest. */
type Window = Pick<FileLogOptions, 'dedupeMs' | 'dedupeCountMax'>;
const COLD_KEYS = 6;
const WINDOWS: readonly Window[] = [{}, { dedupeMs: 200 }, { dedupeCountMax: 8 }];

/** The events whose repeats get the first answer, of those that a log holds. */
export function remembered(there: readonly Event[], { dedupeMs = Infinity, dedupeCountMax = Infinity }: Window, clock: FakeClock): Event[] {
  return there.slice(-dedupeCountMax).filter(({ atMs }) => clock.nowMs() - atMs <= dedupeMs);
}

/**
 * A seeded run over a log with small segments: appends in bursts, so that some share a write, conditions, deletions, repeats, compaction beside
 * them, and clean restarts. Keys are few, so that most of what is written is soon superseded.
 */
export class Workload {
  readonly clock = new FakeClock();
  /** Times that segments were made into one. */
  compactions = 0;
  readonly #disk: MemoryDisk;
  readonly #options: FileLogOptions;
  readonly #window: Window;
  readonly #random: Random;
  readonly #events = new Map<number, Event>();
  readonly #announced = new Map<number, number>();
  readonly #sent: AppendRequest[] = [];
  #log: FileLog | undefined;
  #compacting: Promise<void> | undefined;
  /** Under way. */
  readonly #bursts: Array<Promise<void>> = [];

  /** @param fileSystem over the disk, with what is to go wrong there */
  constructor(disk: MemoryDisk, random: Random, fileSystem: FileSystem = disk) {
    this.#disk = disk;
    this.#random = random;
    this.#window = pick(random, WINDOWS);
    this.#options = { ...logOptions(fileSystem, this.clock), ...this.#window };
  }

  async run(bursts: number): Promise<History> {
    await this.#open();
    for (let burst = 0; burst < bursts; burst++) {
      this.clock.advance(1 + Math.floor(this.#random() * 50));
      if (this.#random() < 0.15) this.#compacting = this.#log!.compact();
      // Some come while those before them are at the disk.
      this.#bursts.push(this.#burst());
      if (this.#random() < 0.5) await turns(1 + Math.floor(this.#random() * 4));
      else await this.#settle();
      if (this.#random() < 0.3) await this.#compacting;
      if (this.#random() < 0.06) {
        await this.#settle();
        await this.#close();
        await this.#open();
      }
    }
    await this.#settle();
    // Half of the runs end as a process does that is told to.
    if (this.#random() < 0.5) await this.#close();
    await this.#compacting;
    const events = [...this.#events.values()].sort((a, b) => a.reply.position.revision - b.reply.position.revision);
    return { events, window: this.#window };
  }

  async end(): Promise<void> {
    await this.#close();
  }

  async #settle(): Promise<void> {
    await Promise.all(this.#bursts.splice(0));
  }

  async #close(): Promise<void> {
    await this.#log?.close();
    this.compactions += this.#log?.status.compaction.compactions ?? 0;
    this.#log = undefined;
  }

  async #open(): Promise<void> {
    this.#log = await openFileLog(this.#options);
    await this.#log.commits((event) => {
      if (event.kind === 'commit') this.#announced.set(event.commit.revision, this.#disk.records.length);
    });
  }

  async #burst(): Promise<void> {
    const size = pick(this.#random, [1, 1, 2, 3, 6]);
    await Promise.all(Array.from({ length: size }, () => this.#append(this.#request())));
  }

  #request(): AppendRequest {
    if (this.#sent.length > 0 && this.#random() < 0.1) return pick(this.#random, this.#sent.slice(-20));
    // First come keys that are left alone, so that their segments are, too; some of them are deleted much later.
    const early = this.#sent.length < COLD_KEYS;
    const cold = early || this.#random() < 0.06;
    const key = cold
      ? `cold ${early ? this.#sent.length : Math.floor(this.#random() * COLD_KEYS)}`
      : `key ${Math.floor(this.#random() * 12)}`;
    const requestId = `request ${this.#sent.length}`;
    const condition = !cold && this.#random() < 0.3 ? this.#condition() : undefined;
    // Some batches span many sectors.
    const bytes = early ? 500 : Math.floor(this.#random() ** 3 * pick(this.#random, [100, 300, 3_000]));
    const mutation =
      !early && (cold || this.#random() < 0.2)
        ? ({ kind: 'delete', key } as const)
        : ({ kind: 'put', key, value: bytesOf(`${requestId} ${'x'.repeat(bytes)}`), contentType: 'text/plain' } as const);
    const request = { mutation, condition, requestId };
    this.#sent.push(request);
    return request;
  }

  #condition(): Condition {
    const known = [...this.#events.values()].slice(-4).map(({ reply }) => reply.position);
    const kind = pick(this.#random, ['ifAbsent', 'ifPresent', 'ifRevision'] as const);
    return kind === 'ifRevision' ? { kind, anyOf: known } : { kind };
  }

  async #append(request: AppendRequest): Promise<void> {
    const sentAt = this.#disk.records.length;
    const atMs = this.clock.nowMs();
    const reply = await this.#log!.append(request, soonBy(this.clock)).catch((error: { code?: string }) => {
      if (error.code === 'CONFLICT') return undefined;
      throw error;
    });
    if (!reply || this.#events.has(reply.position.revision)) return;
    const answeredAt = this.#disk.records.length;
    const announcedAt = this.#announced.get(reply.position.revision) ?? answeredAt;
    this.#events.set(reply.position.revision, { atMs, request, reply, sentAt, knownAt: Math.min(announcedAt, answeredAt) });
  }
}

export function logOptions(fileSystem: FileSystem, clock: FakeClock): FileLogOptions {
  return {
    directory: DIRECTORY,
    fileSystem,
    clock,
    segmentBytes: 3_000,
    compactionGarbageBytes: 1,
    compactionGarbageRatio: 0.2,
    compactionBytesPerSecond: 1e9,
    pipelineAppendsMin: 2,
  };
}

/** So many turns of the event loop: time for others, the same in every run. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await nextTurn();
}

export function soonBy(clock: FakeClock): CallContext {
  return { deadlineMs: clock.nowMs() + 60_000 };
}
