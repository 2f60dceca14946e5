import { posix } from 'node:path';
import { DiptychError } from '@diptych/kernel';
import type { File, FileSystem } from '../src/engine/file-system.js';

/**
 * What was done to a disk, in order: all that a crash could undo. `covers` is how many records were there when a sync began: later ones it does
 * not make durable.
 */
export type DiskRecord =
  | { readonly kind: 'write'; readonly inode: number; readonly offset: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly inode: number; readonly length: number }
  | { readonly kind: 'sync'; readonly inode: number; readonly covers: number }
  /** Of one directory: names that now stand for something else, or for nothing, all at once or none. */
  | { readonly kind: 'names'; readonly directory: string; readonly sets: ReadonlyArray<readonly [path: string, node: Node | undefined]> }
  | { readonly kind: 'syncDirectory'; readonly directory: string; readonly covers: number };

export type Node = number | 'directory';

/** What stands on a disk: bytes by inode, and what each path stands for. */
export interface DiskContent {
  readonly names: ReadonlyMap<string, Node>;
  readonly files: ReadonlyMap<number, Buffer>;
}

/**
 * A disk in memory, with absolute POSIX paths, that records what is done to it. It behaves as the file system of a machine that runs: what was
 * written is read, synced or not. crash-state.ts makes of the records what a power failure leaves.
 */
export class MemoryDisk implements FileSystem {
  readonly records: DiskRecord[] = [];
  /** What was on it, durably, before the first record. */
  readonly initial: DiskContent;
  /** Of all files together; a write gets what fits, the next one ENOSPC. */
  capacityBytes = Infinity;
  /** False: what is done is not recorded. For tests that crash nothing and write much. */
  recording = true;
  readonly #names: Map<string, Node>;
  readonly #inodes = new Map<number, Inode>();
  readonly #locked = new Set<string>();
  #nextInode = 1;

  constructor(initial: DiskContent = { names: new Map([['/', 'directory']]), files: new Map() }) {
    this.initial = initial;
    this.#names = new Map(initial.names);
    for (const [number, bytes] of initial.files) {
      this.#inodes.set(number, new Inode(number, bytes));
      this.#nextInode = Math.max(this.#nextInode, number + 1);
    }
  }

  async open(path: string, how: 'read' | 'write' | 'create'): Promise<File> {
    const node = this.#names.get(path);
    if (node === 'directory') throw diskError('EISDIR', 'open', path);
    if (how !== 'create') {
      if (node === undefined) throw diskError('ENOENT', 'open', path);
      return this.#file(this.#inodes.get(node)!, path, how);
    }
    if (node !== undefined) throw diskError('EEXIST', 'open', path);
    const inode = this.#nextInode;
    this.#name(path, [[path, inode]]);
    return this.#file(this.#inode(inode), path, how);
  }

  async rename(from: string, to: string): Promise<void> {
    const node = this.#names.get(from);
    if (node === undefined) throw diskError('ENOENT', 'rename', from);
    if (posix.dirname(from) !== posix.dirname(to)) throw diskError('EXDEV', 'rename', from);
    this.#name(to, [
      [from, undefined],
      [to, node],
    ]);
  }

  async remove(path: string): Promise<void> {
    const node = this.#names.get(path);
    if (node === undefined) throw diskError('ENOENT', 'unlink', path);
    if (node === 'directory') throw diskError('EISDIR', 'unlink', path);
    this.#name(path, [[path, undefined]]);
  }

  async list(path: string): ReturnType<FileSystem['list']> {
    if (this.#names.get(path) !== 'directory') throw diskError('ENOENT', 'scandir', path);
    const inside = [...this.#names].filter(([name]) => name !== '/' && posix.dirname(name) === path);
    return inside.map(([name, node]) => ({ name: posix.basename(name), directory: node === 'directory' }));
  }

  async makeDirectory(path: string): Promise<void> {
    const node = this.#names.get(path);
    if (node === 'directory') return;
    if (node !== undefined) throw diskError('EEXIST', 'mkdir', path);
    await this.makeDirectory(posix.dirname(path));
    this.#name(path, [[path, 'directory']]);
    await this.syncDirectory(posix.dirname(path));
  }

  async syncDirectory(path: string): Promise<void> {
    if (this.#names.get(path) !== 'directory') throw diskError('ENOENT', 'open', path);
    this.#record({ kind: 'syncDirectory', directory: path, covers: this.records.length });
  }

  lock(directory: string): Disposable {
    if (this.#locked.has(directory)) throw new DiptychError('UNAVAILABLE', `the log directory ${directory} is in use by another process`);
    this.#locked.add(directory);
    return { [Symbol.dispose]: () => void this.#locked.delete(directory) };
  }

  /** Does once more what another disk recorded, from the same initial state on. */
  replay(records: readonly DiskRecord[]): void {
    for (const record of records) {
      if (record.kind === 'names') this.#set(record.sets);
      else if (record.kind === 'write') this.#inode(record.inode).write(record.bytes, record.offset);
      else if (record.kind === 'truncate') this.#inode(record.inode).truncate(record.length);
      this.#record(record);
    }
  }

  /** Paths of all files, sorted. */
  get paths(): string[] {
    return [...this.#names].flatMap(([path, node]) => (node === 'directory' ? [] : [path])).sort();
  }

  /** A copy of what a file holds. */
  bytesOf(path: string): Buffer {
    const node = this.#names.get(path);
    if (typeof node !== 'number') throw diskError('ENOENT', 'open', path);
    return Buffer.from(this.#inodes.get(node)!.bytes);
  }

  /** All that is there, as if it had been synced; changes to it change nothing here. */
  content(): { names: Map<string, Node>; files: Map<number, Buffer> } {
    const files = new Map<number, Buffer>();
    for (const node of this.#names.values()) if (node !== 'directory') files.set(node, Buffer.from(this.#inodes.get(node)!.bytes));
    return { names: new Map(this.#names), files };
  }

  get usedBytes(): number {
    let bytes = 0;
    for (const node of this.#names.values()) if (node !== 'directory') bytes += this.#inodes.get(node)!.length;
    return bytes;
  }

  #name(path: string, sets: ReadonlyArray<readonly [string, Node | undefined]>): void {
    const directory = posix.dirname(path);
    if (this.#names.get(directory) !== 'directory') throw diskError('ENOENT', 'open', path);
    this.#set(sets);
    this.#record({ kind: 'names', directory, sets });
  }

  #record(record: DiskRecord): void {
    if (this.recording) this.records.push(record);
  }

  #set(sets: ReadonlyArray<readonly [string, Node | undefined]>): void {
    for (const [name, node] of sets) {
      if (node === undefined) this.#names.delete(name);
      else this.#names.set(name, node);
      if (typeof node === 'number') this.#inode(node);
    }
  }

  #inode(number: number): Inode {
    let inode = this.#inodes.get(number);
    if (!inode) this.#inodes.set(number, (inode = new Inode(number, EMPTY)));
    this.#nextInode = Math.max(this.#nextInode, number + 1);
    return inode;
  }

  #file(inode: Inode, path: string, how: 'read' | 'write' | 'create'): File {
    const readSync: File['readSync'] = (target, targetOffset, length, position) =>
      Math.max(0, inode.bytes.copy(target, targetOffset, position, Math.min(position + length, inode.length)));
    const assertWritable = (operation: string) => {
      if (how === 'read') throw diskError('EBADF', operation, path);
    };
    return {
      readSync: (target, targetOffset, length, position) =>
        position >= inode.length ? 0 : readSync(target, targetOffset, length, position),
      read: async (target, targetOffset, length, position) =>
        position >= inode.length ? 0 : readSync(target, targetOffset, length, position),
      write: async (source, sourceOffset, length, position) => {
        assertWritable('write');
        const room = this.capacityBytes === Infinity ? Infinity : this.capacityBytes - this.usedBytes + inode.length - position;
        if (room <= 0 && length > 0) throw diskError('ENOSPC', 'write', path);
        const bytes = Buffer.from(source.subarray(sourceOffset, sourceOffset + Math.min(length, room)));
        inode.write(bytes, position);
        this.#record({ kind: 'write', inode: inode.number, offset: position, bytes });
        return bytes.length;
      },
      sync: async () => {
        this.#record({ kind: 'sync', inode: inode.number, covers: this.records.length });
      },
      truncate: async (length) => {
        assertWritable('ftruncate');
        inode.truncate(length);
        this.#record({ kind: 'truncate', inode: inode.number, length });
      },
      size: async () => inode.length,
      close: async () => undefined,
    };
  }
}

/** A file's bytes, which grow in place. */
class Inode {
  readonly number: number;
  #room: Buffer;
  length: number;

  constructor(number: number, bytes: Buffer) {
    this.number = number;
    this.#room = Buffer.from(bytes);
    this.length = bytes.length;
  }

  get bytes(): Buffer {
    return this.#room.subarray(0, this.length);
  }

  write(bytes: Buffer, offset: number): void {
    this.truncate(Math.max(this.length, offset + bytes.length));
    bytes.copy(this.#room, offset);
  }

  truncate(length: number): void {
    if (length > this.#room.length) {
      const grown = Buffer.alloc(Math.max(length, this.#room.length * 2));
      this.bytes.copy(grown);
      this.#room = grown;
    }
    if (length < this.length) this.#room.fill(0, length, this.length);
    this.length = length;
  }
}

const EMPTY = Buffer.alloc(0);

/** With the path in its message, as Node's. */
export function diskError(code: string, operation: string, path: string): Error {
  return Object.assign(new Error(`${code}: a fault of the test, ${operation} '${path}'`), { code });
}
