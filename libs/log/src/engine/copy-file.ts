import { dirname } from 'node:path';
import type { ByteBlock } from './byte-block.js';
import { byteBlock, withRoom } from './byte-block.js';
import type { File, FileSystem } from './file-system.js';
import { writeFully } from './file-system.js';
import type { RecordView } from './record-view.js';

/** Writes a file from its beginning to its end, durably, through a buffer. */
export class FileCopy {
  readonly path: string;
  readonly #file: File;
  #buffer = byteBlock(2 * 1024 * 1024);
  #buffered = 0;
  #written = 0;

  private constructor(path: string, file: File) {
    this.path = path;
    this.#file = file;
  }

  /** @throws EEXIST when there is such a file */
  static async create(fileSystem: FileSystem, path: string): Promise<FileCopy> {
    return new FileCopy(path, await fileSystem.open(path, 'create'));
  }

  get length(): number {
    return this.#written + this.#buffered;
  }

  add(bytes: Buffer): void {
    this.#reserve(bytes.length);
    this.#buffered += bytes.copy(this.#buffer.bytes, this.#buffered);
  }

  /** @param change what to change of the copy, which lies at an offset of a buffer */
  addRecord(record: RecordView, change?: (target: ByteBlock, offset: number, end: number) => void): void {
    this.#reserve(record.length);
    const at = this.#buffered;
    this.#buffered += record.copyTo(this.#buffer, at);
    change?.(this.#buffer, at, this.#buffered);
  }

  async flush(): Promise<void> {
    await writeFully(this.#file, this.#buffer.bytes, this.#buffered, this.#written);
    this.#written += this.#buffered;
    this.#buffered = 0;
  }

  /** On return all of it is on stable storage; its name is once the directory has been synced. */
  async finish(): Promise<void> {
    await this.flush();
    await this.#file.sync();
  }

  /** Whether it was finished or not. */
  async close(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }

  #reserve(bytes: number): void {
    this.#buffer = withRoom(this.#buffer, this.#buffered, bytes);
  }
}

/** A small file, durable with its name; removed again when that fails. @throws EEXIST when there is such a file */
export async function writeMarker(fileSystem: FileSystem, path: string, text: string): Promise<void> {
  const copy = await FileCopy.create(fileSystem, path);
  try {
    copy.add(Buffer.from(text));
    await copy.finish();
    await fileSystem.syncDirectory(dirname(path));
  } catch (error) {
    await fileSystem.remove(path).catch(() => undefined);
    throw error;
  } finally {
    await copy.close();
  }
}
