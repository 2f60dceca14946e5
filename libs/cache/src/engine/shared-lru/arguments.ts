import { checkedTtl } from '../bounded-cache.js';
import type { SharedLruCacheListener } from './options.js';
import { THREADS_CLOCK } from './options.js';

/*
 * What callers give, looked at before anything is taken or changed.
 */

/** @throws RangeError for a time to live that is not above 0, or a wait for a lock that is below 0 or has no end */
export function checkedListener({ onEvict, lockTimeoutMs = 100, ttlMs, clock = THREADS_CLOCK }: SharedLruCacheListener) {
  if (!(lockTimeoutMs >= 0 && lockTimeoutMs < Infinity))
    throw new RangeError(`lockTimeoutMs must be a number from 0, and not without end, is ${lockTimeoutMs}`);
  return { onEvict, lockTimeoutMs, ttlMs: checkedTtl(ttlMs), clock };
}

/** @returns it @throws RangeError when it is no whole number of 0 or more */
export function checkedRevision(revision: number): number {
  if (!Number.isSafeInteger(revision) || revision < 0)
    throw new RangeError(`a revision must be a whole number of 0 or more, is ${revision}`);
  return revision;
}

/**
 * A view of the value whose length stays as it is: of a SharedArrayBuffer that can grow, another thread may make more at any moment.
 *
 * @throws TypeError when the value has been sent to another thread
 */
export function checkedValue(value: Uint8Array): Uint8Array {
  const { buffer, byteOffset, byteLength } = value;
  if (byteLength === 0 && (buffer as ArrayBuffer).detached)
    throw new TypeError('the value has been sent to another thread; it has no bytes any more');
  return (buffer as SharedArrayBuffer).growable ? new Uint8Array(buffer, byteOffset, byteLength) : value;
}
