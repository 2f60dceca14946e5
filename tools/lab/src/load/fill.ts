import { DiptychError } from '@diptych/kernel';
import { Pool } from 'undici';
import { keyChooser, type KeySpec } from './keys.js';
import { valueOf } from './operations.js';

/** The operation that wrote what was there before the first measured request. */
export const FILL_OPERATION = 'fill';

/**
 * Writes every key of some key sets once, before anything is measured.
 *
 * @throws UNAVAILABLE when a write is not acknowledged: an arm that is not whole is not measured
 */
export async function fill(baseUrl: string, sets: readonly KeySpec[], valueBytes: number, signal: AbortSignal): Promise<void> {
  await once(baseUrl, sets, WRITERS, signal, (path, key) => ({
    method: 'PUT',
    path,
    body: valueOf(key, FILL_OPERATION, valueBytes),
    headers: { 'content-type': 'text/plain' },
  }));
}

/**
 * Reads every key of some key sets once, so that a cache holds them.
 *
 * @throws UNAVAILABLE when a read does not succeed
 */
export async function warm(baseUrl: string, sets: readonly KeySpec[], signal: AbortSignal): Promise<void> {
  await once(baseUrl, sets, READERS, signal, (path) => ({ method: 'GET', path }));
}

/** Every key of some key sets, in their own order. */
export function keysOf(sets: readonly KeySpec[]): string[] {
  return sets.flatMap((set) => {
    const chooser = keyChooser(set, 0, 'all');
    return Array.from({ length: chooser.count }, (_, i) => chooser.keyOf(i));
  });
}

const WRITERS = 64;
const READERS = 16;
/** An arm that is filled slower than this is not well. */
const ANSWER_TIMEOUT_MS = 10_000;

type PoolRequest = Parameters<Pool['request']>[0];

async function once(
  baseUrl: string,
  sets: readonly KeySpec[],
  connections: number,
  signal: AbortSignal,
  requestFor: (path: string, key: string) => PoolRequest,
): Promise<void> {
  const pool = new Pool(baseUrl, { connections, pipelining: 1, headersTimeout: ANSWER_TIMEOUT_MS, bodyTimeout: ANSWER_TIMEOUT_MS });
  const keys = keysOf(sets);
  let next = 0;
  const worker = async () => {
    while (next < keys.length) {
      const key = keys[next++]!;
      const request = requestFor(`/v1/keys/${encodeURIComponent(key)}`, key);
      const { statusCode, body } = await pool.request({ ...request, signal });
      await body.dump();
      if (statusCode >= 300)
        throw new DiptychError('UNAVAILABLE', `before the load: ${request.method} of ${key} at ${baseUrl} was answered with ${statusCode}`);
    }
  };
  try {
    await Promise.all(Array.from({ length: connections }, worker));
  } finally {
    await pool.destroy();
  }
}
