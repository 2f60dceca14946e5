import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '@diptych/kernel';
import type { Compactable } from './compaction-plan.js';
import { cleanFloors, garbageBytesOf, planCompaction } from './compaction-plan.js';
import type { Rewritten } from './compaction.js';
import { rewriteRun } from './compaction.js';
import type { DedupeWindow } from './dedupe-window.js';
import { reasonOf } from './directory.js';
import type { CompactionStatus, FileLogSettings } from './file-log-options.js';
import type { KeyIndex } from './key-index.js';
import type { Readers } from './readers.js';
import type { SegmentStore } from './segment-store.js';
import type { Segment } from './segment.js';
import { isNoSpace } from './file-system.js';

export interface CompactorParts {
  readonly settings: FileLogSettings;
  readonly store: SegmentStore;
  readonly index: KeyIndex;
  readonly dedupe: DedupeWindow;
  readonly readers: Readers;
  readonly head: () => number;
}

/**
 * Frees the disk of what no longer counts, in the background: one run of adjacent segments at a time, at a bounded rate, never the newest, so appends go
 * on meanwhile. A run is replaced in these steps, and a crash between any two of them leaves a log that opens as it was:
 *
 *   1. what counts is written to `<first>.segment.new`, synced, read back     leftover: *.new, removed at the next open
 *   2. renamed to `<first>.segment`, and the directory synced                 leftover: the run's other segments, which the new one's
 *   3. index entries moved to it, a few at a time                               header says it stands for; removed at the next open
 *   4. the run's other segments removed
 *   5. the replaced files closed, once the last who may read them is done
 */
export class Compactor {
  readonly #parts: CompactorParts;
  readonly #clock: Clock;
  #timer: Disposable | undefined;
  #running: Promise<void> | undefined;
  /** Of what is running: resolves when it can only wait for readers of what it replaced. */
  #heldUp = Promise.withResolvers<void>();
  #abort = new AbortController();
  #closed = false;
  /** A run whose copy may have its name on the disk or not: nothing else is compacted before it is settled. */
  #inDoubt: readonly Segment[] | undefined;
  #outputBytesMax: number;
  #failures = 0;
  #retryAtMs = -Infinity;
  #compactions = 0;
  #reclaimedBytes = 0;
  #error: string | undefined;

  constructor(parts: CompactorParts) {
    this.#parts = parts;
    this.#clock = parts.settings.clock;
    this.#outputBytesMax = parts.settings.segmentBytes;
  }

  start(): void {
    if (this.#parts.settings.compactionGarbageRatio >= 1) return;
    this.#timer = this.#clock.every(CHECK_PERIOD_MS, () => this.#check(), { unref: true });
  }

  get status(): CompactionStatus {
    return {
      garbageBytes: this.#garbageBytes(this.#compactables()),
      compactions: this.#compactions,
      reclaimedBytes: this.#reclaimedBytes,
      failures: this.#failures,
      error: this.#error,
    };
  }

  /** Does now what is worth doing, until nothing is or it fails. For tests and benchmarks. */
  async runNow(): Promise<void> {
    // More than one may have waited for the same.
    while (this.#running) await this.#running;
    if (!this.#closed) await (this.#running = this.#run());
  }

  /**
   * Gives up what is being written, or finishes what is nearly done, to leave its disk space to others. True when that may have made room. It does not
   * wait for readers of a replaced segment, such as a long report: whoever needs the space would wait as long.
   */
  async yieldSpace(): Promise<boolean> {
    if (!this.#running) return false;
    this.#abort.abort(new Error('its disk space was needed for appends'));
    await Promise.race([this.#running, this.#heldUp.promise]);
    return this.#running === undefined;
  }

  /** What is under way ends soon, and leaves nothing behind. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.#abort.abort(new Error('the log is closing'));
    await this.#running;
  }

  #check(): void {
    if (this.#running || this.#closed || this.#clock.nowMs() < this.#retryAtMs) return;
    this.#running = this.#run();
  }

  /** Never throws. */
  async #run(): Promise<void> {
    this.#abort = new AbortController();
    this.#heldUp = Promise.withResolvers();
    try {
      while (!this.#closed && !this.#abort.signal.aborted && (await this.#compactOnce()));
    } catch (error) {
      this.#onFailure(error);
    } finally {
      this.#running = undefined;
    }
  }

  #onFailure(error: unknown): void {
    this.#retryAtMs = this.#clock.nowMs() + Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#failures, 10));
    if (this.#closed) return;
    this.#failures++;
    const reason = reasonOf(error);
    if (reason !== this.#error)
      this.#parts.settings.onWarning(`compaction failed (${reason}); nothing was lost, appends go on, and it is tried again later`);
    this.#error = reason;
  }

  /** False when nothing is worth compacting. */
  async #compactOnce(): Promise<boolean> {
    const { settings, store } = this.#parts;
    const compactables = this.#compactables();
    const plan = this.#inDoubt
      ? { first: store.segments.indexOf(this.#inDoubt[0]!), count: this.#inDoubt.length }
      : planCompaction(compactables, {
          garbageRatio: settings.compactionGarbageRatio,
          garbageBytesMin: settings.compactionGarbageBytes,
          outputBytesMax: this.#outputBytesMax,
        });
    if (!plan) return false;
    const run = store.segments.slice(plan.first, plan.first + plan.count);
    const rewritten = await this.#rewrite(run, cleanFloors(compactables)[plan.first]!, compactables);
    this.#inDoubt = run;
    try {
      await rewritten.writer.publish();
    } catch (error) {
      await rewritten.writer.discard();
      throw error;
    }
    this.#inDoubt = undefined;
    await this.#replace(run, rewritten);
    this.#compactions++;
    this.#failures = 0;
    this.#error = undefined;
    this.#outputBytesMax = Math.min(settings.segmentBytes, this.#outputBytesMax * 2);
    return true;
  }

  async #rewrite(run: readonly Segment[], floor: number, compactables: readonly Compactable[]): Promise<Rewritten> {
    const { settings, store, index, dedupe, head } = this.#parts;
    const pace = new Pace(this.#clock, this.#bytesPerSecond(compactables), this.#abort.signal);
    try {
      const { fileSystem } = settings;
      return await rewriteRun(run, floor, {
        fileSystem,
        store,
        index,
        dedupe,
        clock: this.#clock,
        head,
        pace: (bytes) => pace.wait(bytes),
      });
    } catch (error) {
      // Something with less to write may still fit, and it frees more.
      if (isNoSpace(error)) this.#outputBytesMax = Math.max(OUTPUT_BYTES_MIN, this.#outputBytesMax / 4);
      throw error;
    }
  }

  async #replace(run: readonly Segment[], { writer, skips, compacted, tally, moves }: Rewritten): Promise<void> {
    const { settings, store, index, readers } = this.#parts;
    const { fileSystem } = settings;
    const id = store.freeId;
    const { path, seed, file, length } = writer;
    store.replaceRun(run, { id, path, firstRevision: run[0]!.firstRevision, seed, reader: file, skips, compacted, length, tally });
    for (let first = 0; first < moves.length; first += MOVES_AT_ONCE) {
      moves.apply(index, id, first, first + MOVES_AT_ONCE);
      await nextTurn();
    }
    for (const segment of run) this.#reclaimedBytes += segment.length;
    this.#reclaimedBytes -= length;
    try {
      for (const other of run.slice(1)) await fileSystem.remove(other.path);
    } finally {
      // One that could not be removed is no part of the log any more, and the next open removes it.
      const quiet = readers.quiesce();
      if (readers.held) this.#heldUp.resolve();
      await quiet;
      for (const segment of run) {
        index.forgetDeadBytes(segment.id);
        await store.release(segment);
      }
    }
  }

  /** Of all segments but the newest. */
  #compactables(): Compactable[] {
    const { store, index, dedupe, settings } = this.#parts;
    const nowMs = this.#clock.nowMs();
    return store.segments.slice(0, -1).map((segment) => {
      const { id, length, tally, compacted } = segment;
      const lastRevision = store.lastRevisionOf(segment);
      return {
        bytes: length,
        records: tally.records,
        deadBytes: index.deadBytes(id),
        tombstoneBytes: tally.tombstoneBytes,
        traceBytes: tally.traceBytes,
        lastRevision,
        cleanThrough: compacted?.cleanThrough ?? 0,
        aged: nowMs - tally.newestAtMs > settings.dedupeMs || lastRevision < dedupe.oldestRevision,
      };
    });
  }

  #garbageBytes(compactables: readonly Compactable[]): number {
    const floors = cleanFloors(compactables);
    const newest = this.#parts.index.deadBytes(this.#parts.store.current.id);
    return Math.round(compactables.reduce((sum, segment, i) => sum + garbageBytesOf(segment, floors[i]!), newest));
  }

  /** Faster the more garbage there is, so that a disk does not fill up because of politeness. */
  #bytesPerSecond(compactables: readonly Compactable[]): number {
    const { settings, store } = this.#parts;
    const garbage = this.#garbageBytes(compactables);
    const tolerated = Math.max(store.bytes - garbage, settings.segmentBytes * 4);
    return settings.compactionBytesPerSecond * Math.max(1, garbage / tolerated);
  }
}

/** A bound on bytes per second, without bursts. Every call lets the event loop turn. */
class Pace {
  readonly #clock: Clock;
  readonly #msPerByte: number;
  readonly #signal: AbortSignal;
  #dueMs: number;

  constructor(clock: Clock, bytesPerSecond: number, signal: AbortSignal) {
    this.#clock = clock;
    this.#msPerByte = 1_000 / bytesPerSecond;
    this.#signal = signal;
    this.#dueMs = clock.nowMs();
  }

  async wait(bytes: number): Promise<void> {
    this.#dueMs = Math.max(this.#dueMs, this.#clock.nowMs() - PACE_LAG_MS) + bytes * this.#msPerByte;
    const delayMs = this.#dueMs - this.#clock.nowMs();
    if (delayMs < 1) await nextTurn();
    else await this.#sleep(delayMs);
    this.#signal.throwIfAborted();
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#signal.aborted) return resolve();
      const onAbort = () => (timer[Symbol.dispose](), resolve());
      const timer = this.#clock.after(delayMs, () => (this.#signal.removeEventListener('abort', onAbort), resolve()));
      this.#signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}

const CHECK_PERIOD_MS = 1_000;
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 60_000;
const OUTPUT_BYTES_MIN = 4_096;
/** Index entries that are moved without a break: well below a millisecond. */
const MOVES_AT_ONCE = 4_096;
/** How much of a delay is made up for. */
const PACE_LAG_MS = 20;
