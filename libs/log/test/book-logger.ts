import type { File, FileSystem } from '../src/engine/file-system.js';
import { readFully } from '../src/engine/file-system.js';

const CAPACITY = 16;
/** What a scanner of lines takes at most, as Go's `bufio.Scanner` does by default. */
const LINE_BYTES_MAX = 64 * 1024;

export interface Line {
  readonly sequence: number;
  readonly key: string;
  readonly value: string;
}

/**
 * The transaction logger of the book this project follows, mistakes included: `put` answers once the event is in a channel of 16, a loop writes one
 * line for each, `sequence<tab>type<tab>key<tab>value`, with nothing escaped and nothing synced, and reading goes line by line. What it loses,
 * and what it cannot read back, is shown in engine/book-logger.spec.ts. Never use it for anything else.
 */
export class BookLogger {
  readonly #file: File;
  readonly #channel: string[] = [];
  #offset = 0;
  #sequence = 0;
  #writing: Promise<void> | undefined;

  constructor(file: File) {
    this.#file = file;
  }

  /** Answers when there is room in the channel, which is long before anything is on the disk. */
  async put(key: string, value: string): Promise<number> {
    while (this.#channel.length >= CAPACITY) await this.#writing;
    const sequence = ++this.#sequence;
    this.#channel.push(`${sequence}\t2\t${key}\t${value}\n`);
    this.#writing ??= this.#write();
    return sequence;
  }

  async #write(): Promise<void> {
    const line = Buffer.from(this.#channel[0]!);
    this.#offset += await this.#file.write(line, 0, line.length, this.#offset);
    this.#channel.shift();
    this.#writing = this.#channel.length > 0 ? this.#write() : undefined;
  }
}

/** @throws Error on a line that is no event, or is too long, as the book's reader does */
export async function readBook(fileSystem: FileSystem, path: string): Promise<Line[]> {
  const file = await fileSystem.open(path, 'read');
  const bytes = Buffer.alloc(await file.size());
  await readFully(file, bytes, 0, bytes.length, 0);
  await file.close();
  const lines: Line[] = [];
  for (const text of bytes.toString().split('\n').slice(0, -1)) {
    if (Buffer.byteLength(text) > LINE_BYTES_MAX) throw new Error('token too long');
    // `Sscanf` reads words: what stands behind a blank is no part of the value.
    const match = /^(\d+)\t(\d+)\t(\S+)\t(\S*)/.exec(text);
    if (!match) throw new Error(`input parse error: ${JSON.stringify(text)}`);
    lines.push({ sequence: Number(match[1]), key: match[3]!, value: match[4]! });
  }
  return lines;
}
