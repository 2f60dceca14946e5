import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { LruCache } from './lru-cache.js';

/**
 * Memory traded for disk, with nothing but the eviction callback: what memory has no room for is written to a file each, in a directory with a bound of its
 * own, and comes back when it is asked for. An example; the services do not use it, since their source of truth is a disk already.
 *
 * It stays a cache. A value that could not be written in time (`writesMax` are being written) or cannot be read back whole is a miss. A file stays
 * while its value is back in memory, so that a value that did not change is written once. Values are not copied, and must not be changed.
 */
export class SpillingCache implements AsyncDisposable {
  readonly #options: SpillingCacheOptions;
  readonly #memory: LruCache<string, Uint8Array>;
  /** The index of the directory. What is in it for a key is always the key's newest value. */
  readonly #disk: LruCache<string, Spilled>;
  readonly #work = new Set<Promise<void>>();
  #writing = 0;
  #files = 0;
  readonly #counts = { fromMemory: 0, fromDisk: 0, misses: 0, spilled: 0, dropped: 0 };

  private constructor(options: SpillingCacheOptions) {
    this.#options = options;
    this.#memory = new LruCache({
      capacity: options.entriesMax,
      bytesMax: options.memoryBytesMax,
      sizeOf: ({ byteLength }) => byteLength + 1,
      onEvict: (key, value, reason) => {
        if (reason === 'evicted') this.#spill(key, value);
      },
    });
    this.#disk = new LruCache({
      capacity: options.entriesMax,
      bytesMax: options.diskBytesMax,
      sizeOf: ({ bytes }) => bytes + 1,
      onEvict: (_key, spilled) => this.#discard(spilled),
    });
  }

  /** Makes the directory, and removes from it what an earlier life left there. */
  static async open(options: SpillingCacheOptions): Promise<SpillingCache> {
    await mkdir(options.directory, { recursive: true });
    for (const name of await readdir(options.directory)) if (name.endsWith(SUFFIX)) await rm(join(options.directory, name));
    return new SpillingCache(options);
  }

  get counts(): Readonly<Record<'fromMemory' | 'fromDisk' | 'misses' | 'spilled' | 'dropped', number>> {
    return this.#counts;
  }

  get memoryBytes(): number {
    return this.#memory.bytes;
  }

  /** Files that are being written: until then what is in them is in memory too. */
  get writing(): number {
    return this.#writing;
  }

  /** Of the files that are wanted; those being deleted come on top. */
  get diskBytes(): number {
    return this.#disk.bytes;
  }

  add(key: string, value: Uint8Array): void {
    this.#disk.remove(key);
    this.#memory.add(key, value);
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    for (;;) {
      const held = this.#memory.get(key);
      if (held) return this.#count('fromMemory', held);
      const spilled = this.#disk.get(key);
      if (!spilled) return this.#count('misses', undefined);
      const value = spilled.value ?? (await readWhole(spilled));
      // Whoever changed or removed the key during the read has the last word. What is there now may have been spilled by now as well.
      if (this.#disk.peek(key) !== spilled) continue;
      if (!value) this.#disk.remove(key);
      else this.#memory.add(key, value);
      return this.#count(value ? 'fromDisk' : 'misses', value);
    }
  }

  /** Each look-up counts once, as what it came to. */
  #count(outcome: 'fromMemory' | 'fromDisk' | 'misses', value: Uint8Array | undefined): Uint8Array | undefined {
    this.#counts[outcome]++;
    return value;
  }

  /** @returns whether the key was there */
  remove(key: string): boolean {
    const onDisk = this.#disk.remove(key);
    return this.#memory.remove(key) || onDisk;
  }

  /** Ends with all files removed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disk.purge();
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  #spill(key: string, value: Uint8Array): void {
    if (this.#disk.get(key)) return;
    if (this.#writing >= this.#options.writesMax) {
      this.#counts.dropped++;
      return;
    }
    const path = join(this.#options.directory, `${++this.#files}${SUFFIX}`);
    const spilled: Spilled = { path, bytes: value.byteLength, checksum: crc32(value), value, wanted: true };
    this.#disk.add(key, spilled);
    // One that is too large for the directory is not wanted any more.
    if (!spilled.wanted) return void this.#counts.dropped++;
    this.#counts.spilled++;
    this.#writing++;
    this.#own(this.#write(key, spilled, value));
  }

  async #write(key: string, spilled: Spilled, value: Uint8Array): Promise<void> {
    try {
      await writeFile(spilled.path, value);
    } catch {
      // A full disk, for instance. Then it is not there, that is all.
      if (this.#disk.peek(key) === spilled) this.#disk.remove(key);
    }
    this.#writing--;
    spilled.value = undefined;
    if (!spilled.wanted) await rm(spilled.path, { force: true });
  }

  /** A file that is still being written is deleted by its writer. */
  #discard(spilled: Spilled): void {
    spilled.wanted = false;
    if (!spilled.value) this.#own(rm(spilled.path, { force: true }));
  }

  #own(work: Promise<void>): void {
    const owned: Promise<void> = work.catch(() => undefined).finally(() => this.#work.delete(owned));
    this.#work.add(owned);
  }
}

/** @returns undefined when the file is not what was written */
async function readWhole({ path, bytes, checksum }: Spilled): Promise<Uint8Array | undefined> {
  const value = await readFile(path).catch(() => undefined);
  return value?.byteLength === bytes && crc32(value) === checksum ? value : undefined;
}

export interface SpillingCacheOptions {
  /** Its own: files in it that end like its own are removed. */
  readonly directory: string;
  /** In memory at most, and on disk. */
  readonly entriesMax: number;
  /** Of values. */
  readonly memoryBytesMax: number;
  readonly diskBytesMax: number;
  /** Files being written at most; what is pushed out beyond is dropped, so that memory stays bounded when the disk is slow. */
  readonly writesMax: number;
}

interface Spilled {
  readonly path: string;
  readonly bytes: number;
  readonly checksum: number;
  /** Until it is written. */
  value: Uint8Array | undefined;
  wanted: boolean;
}

const SUFFIX = '.spilled';
