import type { Layout } from '../../src/engine/shared-lru/layout.js';
import { BLOCKS_MASK, Control, layoutOf, Slot, slotAtOf } from '../../src/engine/shared-lru/layout.js';

/**
 * Walks everything in the memory of a `SharedLruCache` that nobody uses now: the order of use both ways, the buckets, the chains of blocks, what is
 * free. Every block that was ever touched must be in exactly one place, counted, and no lock be held.
 *
 * @returns what is wrong, at most one sentence a shard
 */
export function problemsOf(memory: SharedArrayBuffer): string[] {
  const words = new Int32Array(memory);
  const layout = layoutOf(memory);
  const problems: string[] = [];
  for (let shard = 0; shard < layout.shards; shard++) {
    try {
      inspect(words, layout, layout.shardAt + shard * layout.shardWords);
    } catch (error) {
      problems.push(`shard ${shard}: ${(error as Error).message}`);
    }
  }
  return problems;
}

function inspect(words: Int32Array, layout: Layout, shardAt: number): void {
  const control = (word: number) => words[shardAt + word]!;
  const slotAt = (slot: number) => slotAtOf(layout.slotsAt, shardAt, slot);
  const held = walk('the order of use', control(Control.NEWEST), layout.blocksPerShard, (slot) => words[slotAt(slot) + Slot.OLDER]!);
  const reverse = walk('the order back', control(Control.OLDEST), layout.blocksPerShard, (slot) => words[slotAt(slot) + Slot.NEWER]!);
  same('the two orders of use', held.join(), reverse.reverse().join());
  same('entries', held.length, control(Control.COUNT));

  const inBuckets: number[] = [];
  for (let bucket = 0; bucket < layout.bucketsPerShard; bucket++) {
    const slots = walk('a bucket', control(layout.bucketsAt + bucket), layout.blocksPerShard, (slot) => words[slotAt(slot) + Slot.NEXT]!);
    for (const slot of slots) same('a bucket', words[slotAt(slot) + Slot.HASH]! & (layout.bucketsPerShard - 1), bucket);
    inBuckets.push(...slots);
  }
  same('entries in buckets', inBuckets.sort(ascending).join(), [...held].sort(ascending).join());

  const next = (block: number) => control(layout.linksAt + block - 1);
  const chains = held.map((slot) => {
    const blocks = walk('a chain', slot, layout.blocksPerShard, next);
    same('blocks of an entry', blocks.length, words[slotAt(slot) + Slot.BLOCKS]! & BLOCKS_MASK);
    return blocks;
  });
  const used = chains.flat();
  const freeBlocks = walk('free blocks', control(Control.FREE_BLOCK), layout.blocksPerShard, next);
  same('blocks used', used.length, control(Control.BLOCKS_USED));
  same('blocks ever used', new Set([...used, ...freeBlocks]).size, control(Control.BLOCKS_TOUCHED));
  same('blocks in one place each', used.length + freeBlocks.length, control(Control.BLOCKS_TOUCHED));
  same('blocks beyond those ever used', [...used, ...freeBlocks].filter((block) => block > control(Control.BLOCKS_TOUCHED)).join(), '');
  same('more blocks ever used than there are', Math.max(control(Control.BLOCKS_TOUCHED), layout.blocksPerShard), layout.blocksPerShard);
  same('the lock', control(Control.LOCK), 0);
}

function walk(what: string, first: number, countMax: number, nextOf: (at: number) => number): number[] {
  const seen: number[] = [];
  for (let at = first; at !== 0; at = nextOf(at)) {
    if (!(at > 0 && seen.length < countMax)) throw new Error(`${what} leads to ${at} after ${seen.length}`);
    seen.push(at);
  }
  return seen;
}

function same(what: string, is: number | string, shouldBe: number | string): void {
  if (is !== shouldBe) throw new Error(`${what}: ${String(is).slice(0, 200)}, and should be ${String(shouldBe).slice(0, 200)}`);
}

function ascending(a: number, b: number): number {
  return a - b;
}
