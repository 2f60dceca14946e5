import type { CallContext } from '@diptych/kernel';
import { DiptychError, assertAlive, isDiptychError, isStopped, systemClock } from '@diptych/kernel';
import type {
  AppendReply,
  AppendRequest,
  CommitEvent,
  CommittedPage,
  CommittedRequest,
  ListReply,
  ListRequest,
  LogPort,
  Position,
  ReadReply,
  ReadRequest,
  Report,
  ReportRequest,
} from '../log.port.js';
import { COMMITTED_LIMIT_MAX, LIST_LIMIT_MAX } from '../log.port.js';
import { AppendBatch } from './append-batch.js';
import { applyBatch, applyRecord } from './apply.js';
import { CommitRing, ENTRY_CHARS, PAGE_CHARS_MAX } from './commit-ring.js';
import { Compactor } from './compactor.js';
import { CommitTopic } from './commit-topic.js';
import { DedupeWindow } from './dedupe-window.js';
import { prepareDirectory, reasonOf } from './directory.js';
import type { FileLogOptions, FileLogSettings, FileLogStatus } from './file-log-options.js';
import { BATCH_BYTES_MAX, FILE_LOG_DEFAULTS } from './file-log-options.js';
import { nodeFileSystem } from './file-system.js';
import { KeyIndex } from './key-index.js';
import { LogWriter } from './log-writer.js';
import { PendingAppend } from './pending-append.js';
import { Readers } from './readers.js';
import { RecordReader } from './record-reader.js';
import type { Replayed } from './replay.js';
import { replay } from './replay.js';
import { placesUnder, runReport } from './report.js';
import type { Appended } from './segment-end.js';
import type { SegmentStore } from './segment-store.js';
import { assertAppendRequest, assertKey, assertPosition, assertText, assertWhole } from './validate.js';

/**
 * Opens the log in a directory, or makes one there. Reads and checks all of it first; see replay.ts for what is repaired (a torn tail) and
 * what is not (anything else).
 *
 * @throws UNAVAILABLE when the directory is in use, cannot be used, or holds something else; INTERNAL on damage, with file and offset. Each
 *   message is for a person. On damage no segment has been changed.
 */
export async function openFileLog(options: FileLogOptions): Promise<FileLog> {
  const settings = {
    ...FILE_LOG_DEFAULTS,
    fileSystem: nodeFileSystem,
    clock: systemClock,
    onWarning: () => undefined,
    onBatch: () => undefined,
    ...options,
  };
  const { fileSystem, directory, clock } = settings;
  if (settings.batchBytesMax > BATCH_BYTES_MAX) throw new RangeError(`batchBytesMax is at most ${BATCH_BYTES_MAX}`);
  await prepareDirectory(fileSystem, directory);
  const lock = fileSystem.lock(directory);
  let store: SegmentStore | undefined;
  try {
    const openedAtMs = clock.nowMs();
    const openedWallMs = clock.wallMs();
    const index = new KeyIndex();
    const dedupe = new DedupeWindow({ countMax: settings.dedupeCountMax, ageMsMax: settings.dedupeMs });
    const ring = new CommitRing(settings.recentCommitsMax, 0);
    const state = { index, dedupe, ring };
    let past = { dedupe: 0, ring: 0 };
    const replayed = await replay({
      fileSystem,
      directory,
      partition: settings.partition,
      commitThreadAfter: settings.commitThreadAfter,
      roomBytes: Math.min(settings.roomBytes, settings.segmentBytes >>> 1),
      wallMs: () => clock.wallMs(),
      nowMs: () => clock.nowMs(),
      onWarning: settings.onWarning,
      atMsOf: (wallMs) => openedAtMs - Math.max(0, openedWallMs - wallMs),
      onSegments: (headMin) => (past = { dedupe: headMin - settings.dedupeCountMax, ring: headMin - settings.recentCommitsMax }),
      onRecord: (record, segment, offset, atMs) => applyRecord(state, record, segment, offset, atMs, past),
    });
    ({ store } = replayed);
    ring.skipTo(replayed.head);
    const log = new FileLog(settings, { replayed, index, dedupe, ring, lock });
    await log.start();
    return log;
  } catch (error) {
    await store?.close();
    lock[Symbol.dispose]();
    if (isDiptychError(error)) throw error;
    throw new DiptychError('UNAVAILABLE', `the log in ${directory} cannot be opened: ${reasonOf(error)}`, { cause: error });
  }
}

interface FileLogParts {
  readonly replayed: Replayed;
  readonly index: KeyIndex;
  readonly dedupe: DedupeWindow;
  readonly ring: CommitRing;
  readonly lock: Disposable;
}

/** The file engine: see `openFileLog`. Close it, or the process holds the directory until it ends. */
export class FileLog implements LogPort, AsyncDisposable {
  readonly incarnation: string;
  readonly partition: number;
  readonly #settings: FileLogSettings;
  readonly #parts: FileLogParts;
  readonly #writer: LogWriter;
  readonly #topic: CommitTopic;
  readonly #compactor: Compactor;
  readonly #abort = new AbortController();
  /** Reads and reports under way; files are closed after them. */
  readonly #readers = new Readers();
  readonly #recordReader: RecordReader;
  #reports = 0;
  #closed: Promise<void> | undefined;

  constructor(settings: FileLogSettings, parts: FileLogParts) {
    const { replayed, index, dedupe, ring } = parts;
    this.#settings = settings;
    this.#parts = parts;
    this.incarnation = replayed.incarnation;
    this.partition = settings.partition;
    const { incarnation, partition } = this;
    const head = () => ring.head;
    const batchState = { index, dedupe, incarnation, partition, clock: settings.clock, head };
    const batch = () => new AppendBatch(batchState, settings.batchBytesMax);
    this.#writer = new LogWriter({
      settings,
      store: replayed.store,
      batches: [batch(), batch(), batch()],
      head,
      apply: (durable, written) => this.#apply(durable, written),
      unsealed: !replayed.sealed,
      freeSpace: () => this.#compactor.yieldSpace(),
    });
    this.#compactor = new Compactor({ settings, store: replayed.store, index, dedupe, readers: this.#readers, head });
    this.#recordReader = new RecordReader(replayed.store.byId, this.#readers);
    this.#topic = new CommitTopic({ clock: settings.clock, head: () => this.#head(), onWarning: settings.onWarning });
  }

  /** Called once, by `openFileLog`. */
  async start(): Promise<void> {
    await this.#writer.start();
    this.#compactor.start();
  }

  get status(): FileLogStatus {
    const { index, ring, replayed } = this.#parts;
    const reason = this.#closed ? 'the log is closed' : this.#writer.refusal;
    return {
      writable: reason === undefined,
      reason,
      keys: index.size,
      valueBytes: index.valueBytesTotal,
      diskBytes: replayed.store.bytes,
      segments: replayed.store.segments.length,
      queued: this.#writer.queued,
      headRevision: ring.head,
      compaction: this.#compactor.status,
    };
  }

  append(request: AppendRequest, context: CallContext): Promise<AppendReply> {
    // One promise and no async function around it, and no look at the clock, which is read for many when they are staged. What is thrown here rejects it.
    return new Promise((resolve, reject) => {
      if (this.#closed) throw closedError();
      if (isStopped(context)) assertAlive(context, this.#settings.clock);
      assertAppendRequest(request);
      this.#writer.append(PendingAppend.of(request, context, resolve, reject));
    });
  }

  read({ key }: ReadRequest, context: CallContext): Promise<ReadReply> {
    // As `append`.
    return new Promise((resolve, reject) => {
      this.#assertOpen(context);
      assertKey(key);
      const asOf = this.#head();
      const location = this.#parts.index.get(key);
      if (location) this.#recordReader.read(key, location, asOf, resolve, reject);
      else resolve({ asOf });
    });
  }

  async list({ prefix, after, limit }: ListRequest, context: CallContext): Promise<ListReply> {
    this.#assertOpen(context);
    assertText(prefix, 'the prefix');
    if (after !== undefined) assertText(after, 'the key to go on after');
    assertWhole(limit, 1, LIST_LIMIT_MAX, 'the limit');
    const keys: Array<ListReply['keys'][number]> = [];
    let chars = 0;
    let more = false;
    await this.#parts.index.sort();
    this.#assertOpen(context);
    this.#parts.index.scan(prefix, after, (key, { revision, valueBytes }) => {
      more = keys.length === limit || chars > PAGE_CHARS_MAX;
      if (more) return false;
      keys.push({ key, revision, bytes: valueBytes });
      chars += key.length + ENTRY_CHARS;
      return true;
    });
    return more ? { keys, next: keys[keys.length - 1]!.key } : { keys };
  }

  async report({ prefix }: ReportRequest, context: CallContext): Promise<Report> {
    this.#assertOpen(context);
    assertText(prefix, 'the prefix');
    const { reportsMax, reportMode, clock } = this.#settings;
    if (this.#reports >= reportsMax) throw new DiptychError('OVERLOADED', `${reportsMax} reports are running already`);
    this.#reports++;
    try {
      const signal = context.signal ? AbortSignal.any([context.signal, this.#abort.signal]) : this.#abort.signal;
      await this.#parts.index.sort();
      assertAlive({ deadlineMs: context.deadlineMs, signal }, clock);
      const asOf = this.#head();
      const places = placesUnder(this.#parts.index, prefix);
      const segments = [...this.#parts.replayed.store.byId];
      const body = await this.#readers.during(() =>
        runReport(reportMode, places, segments, { deadlineMs: context.deadlineMs, traceparent: context.traceparent, signal }, clock),
      );
      return { asOf, ...body };
    } finally {
      this.#reports--;
    }
  }

  async committed({ after, limit }: CommittedRequest, context: CallContext): Promise<CommittedPage> {
    this.#assertOpen(context);
    assertPosition(after);
    assertWhole(limit, 1, COMMITTED_LIMIT_MAX, 'the limit');
    if (after.partition !== this.partition)
      throw new DiptychError('INVALID_REQUEST', `partition ${after.partition} is not here; this is partition ${this.partition}`);
    const head = this.#head();
    const commits = after.incarnation === this.incarnation ? this.#parts.ring.after(after.revision, limit, PAGE_CHARS_MAX) : undefined;
    const sentWallMs = this.#settings.clock.wallMs();
    return commits ? { kind: 'page', commits, head, sentWallMs } : { kind: 'resync', head, sentWallMs };
  }

  async commits(listener: (event: CommitEvent) => void): ReturnType<LogPort['commits']> {
    if (this.#closed) throw closedError();
    return this.#topic.subscribe(listener);
  }

  /** Compacts now what is worth it, which it otherwise does in the background. Never throws: `status.compaction` says how it went. */
  compact(): Promise<void> {
    return this.#compactor.runNow();
  }

  /** Finishes the appends it has taken, ends reports, closes the files and frees the directory. Safe to repeat. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#abort.abort(closedError());
    await this.#compactor.close();
    await this.#writer.close();
    this.#topic.close();
    await this.#readers.quiesce();
    await this.#recordReader.close();
    await this.#parts.replayed.store.close();
    this.#parts.lock[Symbol.dispose]();
  }

  /** The batch is durable: in this one step it shows everywhere. */
  #apply(batch: AppendBatch, { block, position: start }: Appended): void {
    const { staged } = batch;
    const { id: segment, tally } = this.#parts.replayed.store.current;
    tally.records += staged.length;
    tally.newestAtMs = batch.atMs;
    for (const { deleted, length } of staged) if (deleted) tally.tombstoneBytes += length;
    applyBatch(this.#parts, batch, block.view, { segment, start });
    if (!this.#topic.listening) return;
    for (const append of staged) {
      const commit = { key: batch.keyOf(append), revision: append.revision, previous: append.revision - 1, deleted: append.deleted };
      this.#topic.emit({ kind: 'commit', incarnation: this.incarnation, partition: this.partition, commit });
    }
  }

  #head(): Position {
    return { incarnation: this.incarnation, partition: this.partition, revision: this.#parts.ring.head };
  }

  #assertOpen(context: CallContext): void {
    if (this.#closed) throw closedError();
    assertAlive(context, this.#settings.clock);
  }
}

function closedError(): DiptychError {
  return new DiptychError('UNAVAILABLE', 'the log is closed');
}
