import type { DiskContent, DiskRecord, Node } from './memory-disk.js';
import { MemoryDisk } from './memory-disk.js';

/**
 * What a power failure may leave of what was not synced, after the idea of ALICE (Pillai et al., "All File Systems Are Not Created Equal",
 * OSDI 2014): anything. Writes may be lost, or come before earlier ones, or in part, sector by sector; a file may have got its
 * length and not its bytes; names may have changed or not, each for itself. What was synced stands.
 *
 * One limit: a sector whose write is torn keeps the bytes beside those that were written to it ("powersafe overwrite" in SQLite's words).
 */
export interface CrashPolicy {
  /** Of changes that were not synced. `first`: those up to a moment; `some`: each for itself. */
  readonly names: 'all' | 'none' | 'first' | 'some';
  readonly writes: 'all' | 'none' | 'first' | 'some' | 'sectors';
  readonly sectorBytes: 512 | 4_096;
  /** What stands where a file has a length and no bytes. `stale`: bytes of another file. */
  readonly fill: 'zeros' | 'noise' | 'stale';
}

export type Random = () => number;

export function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[Math.floor(random() * choices.length)]!;
}

export function randomPolicy(random: Random): CrashPolicy {
  return {
    names: pick(random, ['all', 'none', 'first', 'some', 'some']),
    writes: pick(random, ['all', 'none', 'first', 'some', 'sectors', 'sectors', 'sectors']),
    sectorBytes: pick(random, [512, 512, 4_096]),
    fill: pick(random, ['zeros', 'zeros', 'noise', 'stale']),
  };
}

const ALL_LOST: CrashPolicy = { names: 'none', writes: 'none', sectorBytes: 512, fill: 'zeros' };

/** `killed`: the process died, and the machine runs on; nothing is lost, and nothing more is synced. */
export type Crash = 'killed' | 'all lost' | CrashPolicy;

type Change = Extract<DiskRecord, { kind: 'write' | 'truncate' }>;
type Renaming = Extract<DiskRecord, { kind: 'names' }>;

/** Follows the records of a disk one by one, and gives images of it at any moment. */
export class CrashState {
  readonly #files = new Map<number, { durable: Buffer; pending: Array<Pending<Change>> }>();
  readonly #names: Map<string, Node>;
  #renamings: Array<Pending<Renaming>> = [];
  #count = 0;

  constructor(initial: DiskContent) {
    this.#names = new Map(initial.names);
    for (const [inode, bytes] of initial.files) this.#files.set(inode, { durable: bytes, pending: [] });
  }

  /** Nothing is in doubt: every image is the same. */
  get settled(): boolean {
    return this.#renamings.length === 0 && [...this.#files.values()].every(({ pending }) => pending.length === 0);
  }

  apply(record: DiskRecord): void {
    const index = this.#count++;
    switch (record.kind) {
      case 'names':
        this.#renamings.push({ index, record });
        break;
      case 'syncDirectory': {
        const synced = (pending: Pending<Renaming>) => pending.record.directory === record.directory && pending.index < record.covers;
        for (const pending of this.#renamings) if (synced(pending)) rename(this.#names, pending.record);
        this.#renamings = this.#renamings.filter((pending) => !synced(pending));
        break;
      }
      case 'sync': {
        const file = this.#file(record.inode);
        const covered = file.pending.filter(({ index: at }) => at < record.covers);
        file.durable = covered.reduce((bytes, pending) => change(bytes, pending.record), file.durable);
        file.pending = file.pending.filter(({ index: at }) => at >= record.covers);
        break;
      }
      case 'write':
      case 'truncate':
        this.#file(record.inode).pending.push({ index, record });
    }
  }

  /** The disk as whoever comes after the crash finds it. */
  crash(crash: Crash, random: Random): MemoryDisk {
    if (crash !== 'killed') return new MemoryDisk(this.#image(crash === 'all lost' ? ALL_LOST : crash, random));
    const disk = new MemoryDisk(this.#image(ALL_LOST, random, [...this.#files.keys()]));
    const pending: Array<Pending<DiskRecord>> = [...this.#renamings];
    for (const file of this.#files.values()) pending.push(...file.pending);
    disk.replay(pending.sort((a, b) => a.index - b.index).map(({ record }) => record));
    return disk;
  }

  #image({ names: whichNames, ...policy }: CrashPolicy, random: Random, inodes: readonly number[] = []): DiskContent {
    const names = new Map(this.#names);
    for (const { record } of chosen(this.#renamings, whichNames, random)) rename(names, record);
    const files = new Map<number, Buffer>();
    for (const inode of inodes) files.set(inode, this.#bytes(inode, policy, random));
    for (const node of names.values()) if (node !== 'directory') files.set(node, this.#bytes(node, policy, random));
    // A name may have outlived its directory, which was never made.
    for (const path of names.keys()) if (names.get(parentOf(path)) !== 'directory' && path !== '/') names.delete(path);
    return { names, files };
  }

  #bytes(inode: number, policy: Omit<CrashPolicy, 'names'>, random: Random): Buffer {
    const { durable, pending } = this.#file(inode);
    if (pending.length === 0) return durable;
    if (policy.writes !== 'sectors')
      return chosen(pending, policy.writes, random).reduce(
        (bytes, { record }) => this.#changeWithGap(bytes, record, policy, random),
        durable,
      );
    let bytes = durable;
    // The new length may be there before the bytes are.
    const lengthFirst = random() < 0.5;
    for (const { record } of pending) {
      if (record.kind === 'truncate') {
        if (random() < 0.5) bytes = change(bytes, record);
        continue;
      }
      for (const piece of sectorsOf(record, policy.sectorBytes)) {
        if (random() < 0.5) bytes = this.#changeWithGap(bytes, piece, policy, random);
        else if (lengthFirst) bytes = this.#lengthen(bytes, piece.offset + piece.bytes.length, policy, random);
      }
    }
    return bytes;
  }

  #changeWithGap(bytes: Buffer, record: Change, policy: Omit<CrashPolicy, 'names'>, random: Random): Buffer {
    return change(record.kind === 'write' ? this.#lengthen(bytes, record.offset, policy, random) : bytes, record);
  }

  #lengthen(bytes: Buffer, length: number, { fill }: Omit<CrashPolicy, 'names'>, random: Random): Buffer {
    if (length <= bytes.length) return bytes;
    const longer = Buffer.alloc(length);
    bytes.copy(longer);
    if (fill === 'noise') for (let i = bytes.length; i < length; i++) longer[i] = Math.floor(random() * 256);
    if (fill === 'stale')
      pick(random, [...this.#files.values()])
        .durable.subarray(bytes.length, length)
        .copy(longer, bytes.length);
    return longer;
  }

  #file(inode: number): { durable: Buffer; pending: Array<Pending<Change>> } {
    let file = this.#files.get(inode);
    if (!file) this.#files.set(inode, (file = { durable: Buffer.alloc(0), pending: [] }));
    return file;
  }
}

/** What a crash leaves of a disk after its first `count` records. */
export function crashAt(disk: MemoryDisk, count: number, crash: Crash, random: Random): MemoryDisk {
  const state = new CrashState(disk.initial);
  for (const record of disk.records.slice(0, count)) state.apply(record);
  return state.crash(crash, random);
}

interface Pending<R> {
  readonly index: number;
  readonly record: R;
}

function chosen<R>(
  pending: ReadonlyArray<Pending<R>>,
  which: 'all' | 'none' | 'first' | 'some',
  random: Random,
): ReadonlyArray<Pending<R>> {
  if (which === 'all') return pending;
  if (which === 'none') return [];
  if (which === 'first') return pending.slice(0, Math.floor(random() * (pending.length + 1)));
  return pending.filter(() => random() < 0.5);
}

function rename(names: Map<string, Node>, { sets }: Renaming): void {
  for (const [path, node] of sets) {
    if (node === undefined) names.delete(path);
    else names.set(path, node);
  }
}

function change(bytes: Buffer, record: Change): Buffer {
  const length = record.kind === 'truncate' ? record.length : Math.max(bytes.length, record.offset + record.bytes.length);
  const changed = Buffer.alloc(length);
  bytes.copy(changed, 0, 0, Math.min(bytes.length, length));
  if (record.kind === 'write') record.bytes.copy(changed, record.offset);
  return changed;
}

function sectorsOf(
  { inode, offset, bytes }: Extract<Change, { kind: 'write' }>,
  sectorBytes: number,
): Array<Extract<Change, { kind: 'write' }>> {
  const pieces: Array<Extract<Change, { kind: 'write' }>> = [];
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + sectorBytes - ((offset + at) % sectorBytes));
    pieces.push({ kind: 'write', inode, offset: offset + at, bytes: bytes.subarray(at, end) });
    at = end;
  }
  return pieces;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}
