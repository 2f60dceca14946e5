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
  const pool = new Pool(baseUrl, { connections: WRITERS, pipelining: 1 });
  try {
    for (const set of sets) {
      const chooser = keyChooser(set, 0, 'fill');
      let next = 0;
      const writer = async () => {
        while (next < chooser.count) {
          const key = chooser.keyOf(next++);
          const { statusCode, body } = await pool.request({
            method: 'PUT',
            path: `/v1/keys/${encodeURIComponent(key)}`,
            body: valueOf(key, FILL_OPERATION, valueBytes),
            headers: { 'content-type': 'text/plain' },
            signal,
          });
          await body.dump();
          if (statusCode !== 201 && statusCode !== 204)
            throw new DiptychError('UNAVAILABLE', `filling ${baseUrl} failed: PUT of ${key} was answered with ${statusCode}`);
        }
      };
      await Promise.all(Array.from({ length: WRITERS }, writer));
    }
  } finally {
    await pool.destroy();
  }
}

const WRITERS = 64;

/** Reads keys once each, so that a cache holds them. */
export async function warm(baseUrl: string, set: KeySpec, signal: AbortSignal): Promise<void> {
  const pool = new Pool(baseUrl, { connections: 16, pipelining: 1 });
  try {
    const chooser = keyChooser(set, 0, 'warm');
    let next = 0;
    const reader = async () => {
      while (next < chooser.count) {
        const { body } = await pool.request({ method: 'GET', path: `/v1/keys/${encodeURIComponent(chooser.keyOf(next++))}`, signal });
        await body.dump();
      }
    };
    await Promise.all(Array.from({ length: 16 }, reader));
  } finally {
    await pool.destroy();
  }
}
