import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { DiptychError } from '@diptych/kernel';
import { assertOnce } from './request-headers.js';

export const API_KEY_CHARS_MIN = 16;
const API_KEYS_MAX = 64;

/**
 * The keys that clients may send as `Authorization: Bearer <key>`. Only digests are kept, and every digest is compared in
 * full, so that the time an answer takes says nothing about any key.
 */
export class ApiKeys {
  readonly #digests: readonly Buffer[];

  /** @throws RangeError, which never shows a key, when there are too many or one is too weak or cannot be sent */
  constructor(keys: readonly string[]) {
    if (keys.length === 0 || keys.length > API_KEYS_MAX)
      throw new RangeError(`1 to ${API_KEYS_MAX} API keys are possible, not ${keys.length}`);
    for (const [index, key] of keys.entries()) {
      if (key.length < API_KEY_CHARS_MIN || !/^[\x21-\x7e]+$/.test(key))
        throw new RangeError(`API key ${index + 1} of ${keys.length} must have ${API_KEY_CHARS_MIN} or more visible ASCII characters`);
    }
    this.#digests = keys.map(digestOf);
  }

  /** @throws UNAUTHENTICATED */
  assertKnown(request: IncomingMessage): void {
    const header = request.headers.authorization;
    if (header === undefined) throw new DiptychError('UNAUTHENTICATED', 'this gateway wants an API key: Authorization: Bearer <key>');
    assertOnce(request, 'authorization');
    const given = /^bearer +([\x21-\x7e]+)$/i.exec(header)?.[1];
    if (given === undefined) throw new DiptychError('UNAUTHENTICATED', 'Authorization must be: Bearer <key>');
    const digest = digestOf(given);
    let known = false;
    for (const candidate of this.#digests) known = timingSafeEqual(candidate, digest) || known;
    if (!known) throw new DiptychError('UNAUTHENTICATED', 'the API key is not known here');
  }
}

/** The keys in the text of a key file: one a line; blank lines and lines that begin with `#` do not count. */
export function keysInFile(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
