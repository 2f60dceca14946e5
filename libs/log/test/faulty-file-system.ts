import { basename } from 'node:path';
import type { File, FileSystem } from '../src/engine/file-system.js';
import { nodeFileSystem } from '../src/engine/file-system.js';
import { diskError } from './memory-disk.js';

export type DiskOperation =
  'open' | 'read' | 'write' | 'sync' | 'truncate' | 'rename' | 'remove' | 'list' | 'makeDirectory' | 'syncDirectory';

export interface Fault {
  /** The error's code: `EIO`, `ENOSPC`. Without it the operation is done. */
  readonly code?: string;
  /** Of a write or read: how many bytes are done, before the error or as a short write or read. */
  readonly bytes?: number;
  /** The operation begins after this: a slow disk. */
  readonly wait?: Promise<unknown>;
  /** Of a write or read: this bit arrives inverted, counted from the first byte. */
  readonly flipBit?: number;
  /** The operation only pretends to be done: a disk that lies, or an engine that forgot it. */
  readonly pretend?: boolean;
}

/**
 * A disk (the real one, or one in memory) with faults where a test asks for them. It counts what is done. What a power failure does to
 * what was not synced is in crash-state.ts.
 */
export class FaultyFileSystem implements FileSystem {
  readonly counts = new Map<DiskOperation, number>();
  openFiles = 0;
  /** Every operation in its order, with the name of its file: `sync 0000000000000001.segment`. */
  readonly journal: string[] = [];
  /** False: syncs only pretend. For tests that open a log a thousand times and pull no plug. */
  syncs = true;
  /** Asked before each operation. */
  fault: (operation: DiskOperation, path: string) => Fault | undefined = () => undefined;
  /** True: files that are written to show their descriptors, so that a thread may write without being asked here. */
  unwatched = false;
  /** What such a file shows, instead of its own. */
  descriptor: number | undefined;
  readonly #disk: FileSystem;

  constructor(disk: FileSystem = nodeFileSystem) {
    this.#disk = disk;
  }

  count(operation: DiskOperation): number {
    return this.counts.get(operation) ?? 0;
  }

  async open(path: string, how: 'read' | 'write' | 'create'): Promise<File> {
    await this.#before('open', path);
    const file = await this.#disk.open(path, how);
    this.openFiles++;
    return this.#wrap(path, file, how);
  }

  async rename(from: string, to: string): Promise<void> {
    if (await this.#before('rename', to)) await this.#disk.rename(from, to);
  }

  async remove(path: string): Promise<void> {
    if (await this.#before('remove', path)) await this.#disk.remove(path);
  }

  async list(path: string): ReturnType<FileSystem['list']> {
    await this.#before('list', path);
    return this.#disk.list(path);
  }

  async makeDirectory(path: string): Promise<void> {
    if (await this.#before('makeDirectory', path)) await this.#disk.makeDirectory(path);
  }

  async syncDirectory(path: string): Promise<void> {
    if ((await this.#before('syncDirectory', path)) && this.syncs) await this.#disk.syncDirectory(path);
  }

  lock(directory: string): Disposable {
    return this.#disk.lock(directory);
  }

  #wrap(path: string, file: File, how: 'read' | 'write' | 'create'): File {
    const shown = () => (how === 'read' ? file.descriptor : (this.descriptor ?? file.descriptor));
    return {
      read: async (target, targetOffset, length, position) => {
        const fault = this.#take('read', path);
        await fault?.wait;
        if (fault?.code) throw diskError(fault.code, 'read', path);
        const count = await file.read(target, targetOffset, Math.min(length, fault?.bytes ?? length), position);
        flip(target.subarray(targetOffset, targetOffset + count), fault?.flipBit);
        return count;
      },
      readSync: (target, targetOffset, length, position) => {
        const fault = this.#take('read', path);
        if (fault?.code) throw diskError(fault.code, 'read', path);
        const count = file.readSync(target, targetOffset, Math.min(length, fault?.bytes ?? length), position);
        flip(target.subarray(targetOffset, targetOffset + count), fault?.flipBit);
        return count;
      },
      write: async (source, sourceOffset, length, position) => {
        const fault = this.#take('write', path);
        await fault?.wait;
        if (fault?.pretend) return length;
        const bytes = Math.min(length, fault?.bytes ?? (fault?.code ? 0 : length));
        const sent = flip(fault?.flipBit === undefined ? source : Buffer.from(source), fault?.flipBit, sourceOffset);
        const written = bytes > 0 ? await file.write(sent, sourceOffset, bytes, position) : 0;
        if (fault?.code) throw diskError(fault.code, 'write', path);
        return written;
      },
      sync: async () => {
        if ((await this.#before('sync', path)) && this.syncs) await file.sync();
      },
      truncate: async (length) => {
        if (await this.#before('truncate', path)) await file.truncate(length);
      },
      size: () => file.size(),
      close: () => (this.openFiles--, file.close()),
      get descriptor() {
        return shown();
      },
    };
  }

  /** Whether to do it. @throws the fault's error */
  async #before(operation: DiskOperation, path: string): Promise<boolean> {
    const fault = this.#take(operation, path);
    await fault?.wait;
    if (fault?.code) throw diskError(fault.code, operation, path);
    return !fault?.pretend;
  }

  #take(operation: DiskOperation, path: string): Fault | undefined {
    this.counts.set(operation, this.count(operation) + 1);
    this.journal.push(`${operation} ${basename(path)}`);
    return this.fault(operation, path);
  }
}

function flip(bytes: Buffer, bit: number | undefined, offset = 0): Buffer {
  if (bit !== undefined && offset + (bit >> 3) < bytes.length) bytes[offset + (bit >> 3)]! ^= 1 << (bit & 7);
  return bytes;
}
