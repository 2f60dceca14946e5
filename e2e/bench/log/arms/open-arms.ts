import fs from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { CONTEXT, keyOf, openLog } from './load.js';

interface Parameters {
  readonly keys: number;
}

export async function engineOpen(directory: string, { keys }: Parameters) {
  const startMs = performance.now();
  const log = await openLog(directory, { compactionGarbageRatio: 1 });
  const elapsedMs = performance.now() - startMs;
  if (log.status.keys !== keys) throw new Error(`the log opened with ${log.status.keys} keys of ${keys}`);
  await log.close();
  return { entriesPerSecond: (keys / elapsedMs) * 1_000 };
}

/** Sequential reads of the same files, a checksum over each record, and one Map insert: no more is looked at, and nothing repaired. */
export async function bareOpen(directory: string, { keys }: Parameters) {
  const startMs = performance.now();
  const places = new Map<string, number>();
  let bad = 0;
  for (const name of fs.readdirSync(directory).sort()) if (name.endsWith('.segment')) bad += await bareScan(join(directory, name), places);
  const elapsedMs = performance.now() - startMs;
  if (places.size !== keys || bad > 0) throw new Error(`found ${places.size} keys of ${keys}, and ${bad} bad checksums`);
  return { entriesPerSecond: (keys / elapsedMs) * 1_000 };
}

async function bareScan(path: string, places: Map<string, number>): Promise<number> {
  const descriptor = fs.openSync(path, 'r');
  const buffer = Buffer.allocUnsafeSlow(4 * 1024 * 1024);
  let bad = 0;
  let filled = await read(descriptor, buffer, 0, 0);
  const seed = buffer.readUInt32LE(60);
  let base = 0;
  let offset = 64;
  for (;;) {
    while (filled - offset >= 76) {
      const length = buffer.readUInt32LE(offset + 4);
      if (filled - offset < length) break;
      if (crc32(buffer.subarray(offset + 4, offset + length), seed) !== buffer.readUInt32LE(offset)) bad++;
      // Not the seals.
      if (buffer[offset + 60] === 1) {
        const key = buffer.toString('latin1', offset + 76, offset + 76 + buffer.readUInt16LE(offset + 62));
        places.set(key, base + offset);
      }
      offset += length;
    }
    buffer.copy(buffer, 0, offset, filled);
    base += offset;
    const rest = filled - offset;
    const got = await read(descriptor, buffer, rest, base + rest);
    if (got === 0) break;
    filled = rest + got;
    offset = 0;
  }
  fs.closeSync(descriptor);
  return bad;
}

function read(descriptor: number, buffer: Buffer, at: number, position: number): Promise<number> {
  return new Promise((resolve, reject) =>
    fs.read(descriptor, buffer, at, buffer.length - at, position, (error, count) => (error ? reject(error) : resolve(count))),
  );
}

/** What an open log holds in memory more than the process did before, the dedupe window and the recent commits included. */
export async function engineMemory(directory: string, { keys }: Parameters) {
  const before = heldBytes();
  const log = await openLog(directory, { compactionGarbageRatio: 1 });
  const first = await log.list({ prefix: '', limit: 1_000 }, CONTEXT);
  const sorted = first.keys.every(({ key }, i) => i === 0 || first.keys[i - 1]!.key < key);
  if (log.status.keys !== keys || first.keys.length !== Math.min(keys, 1_000) || !sorted) throw new Error('the log does not list its keys');
  const bytes = heldBytes() - before;
  const { entry } = await log.read({ key: keyOf(keys >> 1) }, CONTEXT);
  if (!entry) throw new Error('the log lost a key');
  await log.close();
  return { bytesPerKey: bytes / keys };
}

function heldBytes(): number {
  if (!globalThis.gc) throw new Error('wants --expose-gc');
  for (let i = 0; i < 3; i++) globalThis.gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
