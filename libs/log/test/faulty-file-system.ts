import { basename } from 'node:path';
import type { File, FileSystem } from '../src/engine/file-system.js';
import { nodeFileSystem } from '../src/engine/file-system.js';

export type DiskOperation =
  'open' | 'read' | 'write' | 'sync' | 'truncate' | 'rename' | 'remove' | 'list' | 'makeDirectory' | 'syncDirectory';

export interface Fault {
  /** The error's code: `EIO`, `ENOSPC`. Without it the operation is done. */
  readonly code?: string;
  /** Of a write: how many bytes reach the file, before the error or as a short write. */
  readonly bytes?: number;
  /** The operation begins after this. */
  readonly wait?: Promise<unknown>;
}

/** The real disk, with faults where a test asks for them. It counts what is done. */
export class FaultyFileSystem implements FileSystem {
  readonly counts = new Map<DiskOperation, number>();
  openFiles = 0;
  /** Every operation in its order, with the name of its file: `sync 0000000000000001.segment`. */
  readonly journal: string[] = [];
  /** False: syncs only pretend. For tests that open a log a thousand times and pull no plug. */
  syncs = true;
  /** Asked before each operation. */
  fault: (operation: DiskOperation, path: string) => Fault | undefined = () => undefined;

  count(operation: DiskOperation): number {
    return this.counts.get(operation) ?? 0;
  }

  async open(path: string, how: 'read' | 'write' | 'create'): Promise<File> {
    await this.#run('open', path);
    const file = await nodeFileSystem.open(path, how);
    this.openFiles++;
    return this.#wrap(path, file);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#run('rename', to);
    return nodeFileSystem.rename(from, to);
  }

  async remove(path: string): Promise<void> {
    await this.#run('remove', path);
    return nodeFileSystem.remove(path);
  }

  async list(path: string): ReturnType<FileSystem['list']> {
    await this.#run('list', path);
    return nodeFileSystem.list(path);
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#run('makeDirectory', path);
    return nodeFileSystem.makeDirectory(path);
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#run('syncDirectory', path);
    if (this.syncs) await nodeFileSystem.syncDirectory(path);
  }

  lock(directory: string): Disposable {
    return nodeFileSystem.lock(directory);
  }

  #wrap(path: string, file: File): File {
    return {
      read: async (target, targetOffset, length, position) => {
        await this.#run('read', path);
        return file.read(target, targetOffset, length, position);
      },
      readSync: (target, targetOffset, length, position) => file.readSync(target, targetOffset, length, position),
      write: async (source, sourceOffset, length, position) => {
        const fault = this.#take('write', path);
        await fault?.wait;
        const bytes = Math.min(length, fault?.bytes ?? (fault?.code ? 0 : length));
        const written = bytes > 0 ? await file.write(source, sourceOffset, bytes, position) : 0;
        if (fault?.code) throw diskError(fault.code, 'write', path);
        return written;
      },
      sync: async () => {
        await this.#run('sync', path);
        if (this.syncs) await file.sync();
      },
      truncate: async (length) => {
        await this.#run('truncate', path);
        return file.truncate(length);
      },
      size: () => file.size(),
      close: () => (this.openFiles--, file.close()),
    };
  }

  async #run(operation: DiskOperation, path: string): Promise<void> {
    const fault = this.#take(operation, path);
    await fault?.wait;
    if (fault?.code) throw diskError(fault.code, operation, path);
  }

  #take(operation: DiskOperation, path: string): Fault | undefined {
    this.counts.set(operation, this.count(operation) + 1);
    this.journal.push(`${operation} ${basename(path)}`);
    return this.fault(operation, path);
  }
}

/** With the path in its message, as Node's. */
function diskError(code: string, operation: string, path: string): Error {
  return Object.assign(new Error(`${code}: a fault of the test, ${operation} '${path}'`), { code });
}
