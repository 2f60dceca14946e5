import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SpillingCache } from '@diptych/cache/engine';
import type { Figures } from '../../messaging/bench-run.js';
import { keysOf, valueOf, zipfOf } from './load.js';

const VALUES = 20_000;
const VALUE_BYTES = 4_096;
const LOOK_UPS = 40_000;
const ALL_BYTES = VALUES * (VALUE_BYTES + 1);

/** One caller who looks values up, and makes and adds what is missing, which is not timed: what that costs is the business of whatever is behind the cache. */
export async function spill({ arm, seed }: { arm: 'memory' | 'spill' | 'small'; seed: number }): Promise<Record<string, Figures>> {
  const directory = await mkdtemp(join(tmpdir(), 'bench-cache-'));
  try {
    const keys = keysOf(VALUES);
    const zipf = zipfOf(seed, VALUES);
    const before = await heldBytes();
    await using cache = await SpillingCache.open({
      directory,
      entriesMax: VALUES,
      memoryBytesMax: arm === 'memory' ? ALL_BYTES : ALL_BYTES / 10,
      diskBytesMax: arm === 'spill' ? ALL_BYTES : 1,
      writesMax: 256,
    });
    const takenUs: number[] = [];
    let filled = cache.counts;
    for (let i = -VALUES; i < LOOK_UPS; i++) {
      // At first each once, from the rarest to the most wanted.
      const number = i < 0 ? -i - 1 : zipf();
      const beganMs = performance.now();
      const value = await cache.get(keys[number]!);
      if (i >= 0) takenUs.push((performance.now() - beganMs) * 1_000);
      if (value === undefined) cache.add(keys[number]!, valueOf(number, VALUE_BYTES));
      else if (Buffer.from(value.buffer, value.byteOffset).readUInt32LE() !== number)
        throw new Error(`${keys[number]} has another's value`);
      if (i === -1) filled = { ...cache.counts };
      // As a service would, whose callers come from the network.
      if (i % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const fromMemory = cache.counts.fromMemory - filled.fromMemory;
    const fromDisk = cache.counts.fromDisk - filled.fromDisk;
    const memoryMb = ((await heldBytes()) - before) / 1e6;
    takenUs.sort((a, b) => a - b);
    return {
      [arm]: {
        memoryMb,
        diskMb: arm === 'spill' ? cache.diskBytes / 1e6 : 0,
        hitPercent: ((fromMemory + fromDisk) / LOOK_UPS) * 100,
        fromDiskPercent: (fromDisk / (fromMemory + fromDisk)) * 100,
        meanUs: takenUs.reduce((sum, each) => sum + each, 0) / LOOK_UPS,
        p50Us: takenUs[LOOK_UPS / 2]!,
        p99Us: takenUs[LOOK_UPS * 0.99]!,
      },
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function heldBytes(): Promise<number> {
  // What was found to be garbage is given back a little later.
  for (let i = 0; i < 3; i++) {
    globalThis.gc!();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
