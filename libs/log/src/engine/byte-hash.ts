import { randomInt } from 'node:crypto';

/*
 * Hashes of bytes where they lie, without making a string or a view of them: both are MurmurHash3 (Austin Appleby, 2011, public domain).
 */

/**
 * For tables in memory: of 32 bits, begun from a number that every process draws anew, so that nobody outside can choose keys that all
 * fall on one place. Never written to a disk.
 */
export function hashBytes(view: DataView, start: number, length: number): number {
  let hash = SEED;
  const end = start + length;
  let i = start;
  for (; i + 4 <= end; i += 4) hash = (Math.imul(rotate(hash ^ scramble(view.getInt32(i, true)), 13), 5) + 0xe6546b64) | 0;
  return finish(hash ^ scramble(tailWord(view, i, end)) ^ length);
}

/** By words of four bytes, which need not lie at multiples of four. */
export function equalBytes(a: DataView, aStart: number, b: DataView, bStart: number, length: number): boolean {
  let i = 0;
  for (; i + 4 <= length; i += 4) if (a.getInt32(aStart + i) !== b.getInt32(bStart + i)) return false;
  for (; i < length; i++) if (a.getUint8(aStart + i) !== b.getUint8(bStart + i)) return false;
  return true;
}

/** For a few dozen bytes, where a call out of JavaScript takes longer than the copy. The stretches do not overlap. */
export function copyBytes(from: DataView, start: number, to: DataView, at: number, length: number): void {
  let i = 0;
  for (; i + 4 <= length; i += 4) to.setInt32(at + i, from.getInt32(start + i));
  for (; i < length; i++) to.setUint8(at + i, from.getUint8(start + i));
}

/** As their bytes compare, a prefix before what it begins. */
export function compareBytes(a: Uint8Array, aStart: number, aLength: number, b: Uint8Array, bStart: number, bLength: number): number {
  const length = Math.min(aLength, bLength);
  for (let i = 0; i < length; i++) {
    const difference = a[aStart + i]! - b[bStart + i]!;
    if (difference !== 0) return difference;
  }
  return aLength - bLength;
}

/** Writes the 128-bit hash of bytes `start` to `end` to `target`, all in one buffer: MurmurHash3_x86_128, seed 0. */
export function writeHash128(view: DataView, start: number, end: number, target: number): void {
  let h1 = 0;
  let h2 = 0;
  let h3 = 0;
  let h4 = 0;
  let i = start;
  for (; i + 16 <= end; i += 16) {
    h1 = Math.imul(rotate(h1 ^ mix(view.getInt32(i, true), C1, 15, C2), 19) + h2, 5) + 0x561ccd1b;
    h2 = Math.imul(rotate(h2 ^ mix(view.getInt32(i + 4, true), C2, 16, C3), 17) + h3, 5) + 0x0bcaa747;
    h3 = Math.imul(rotate(h3 ^ mix(view.getInt32(i + 8, true), C3, 17, C4), 15) + h4, 5) + 0x96cd1c35;
    h4 = Math.imul(rotate(h4 ^ mix(view.getInt32(i + 12, true), C4, 18, C1), 13) + h1, 5) + 0x32ac3b17;
  }
  h1 ^= mix(tailWord(view, i, end), C1, 15, C2);
  h2 ^= mix(tailWord(view, i + 4, end), C2, 16, C3);
  h3 ^= mix(tailWord(view, i + 8, end), C3, 17, C4);
  h4 ^= mix(tailWord(view, i + 12, end), C4, 18, C1);
  const length = end - start;
  h2 ^= length;
  h3 ^= length;
  h4 ^= length;
  h1 = ((h1 ^ length) + h2 + h3 + h4) | 0;
  h2 = (h2 + h1) | 0;
  h3 = (h3 + h1) | 0;
  h4 = (h4 + h1) | 0;
  h1 = finish(h1);
  h2 = finish(h2);
  h3 = finish(h3);
  h4 = finish(h4);
  h1 = (h1 + h2 + h3 + h4) | 0;
  view.setInt32(target, h1, true);
  view.setInt32(target + 4, h2 + h1, true);
  view.setInt32(target + 8, h3 + h1, true);
  view.setInt32(target + 12, h4 + h1, true);
}

function tailWord(view: DataView, start: number, end: number): number {
  let word = 0;
  for (let i = start; i < end && i < start + 4; i++) word |= view.getUint8(i) << ((i - start) * 8);
  return word;
}

function mix(word: number, factor: number, turns: number, second: number): number {
  return Math.imul(rotate(Math.imul(word, factor), turns), second);
}

function scramble(word: number): number {
  return Math.imul(rotate(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593);
}

function rotate(word: number, turns: number): number {
  return (word << turns) | (word >>> (32 - turns));
}

function finish(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

const SEED = randomInt(2 ** 32 - 1) | 0;
const C1 = 0x239b961b;
const C2 = 0xab0e9789 | 0;
const C3 = 0x38b34ae5;
const C4 = 0xa1e38b93 | 0;
