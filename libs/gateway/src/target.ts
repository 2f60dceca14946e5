import { DiptychError } from '@diptych/kernel';
import { KEY_BYTES_MAX } from '@diptych/log';

/** What a request target names. The raw target is read, never a normalised one: `.`, `..` and `//` are ordinary in keys. */
export type Resource = 'key' | 'keys' | 'report' | 'openapi';

export const KEY_PATH = '/v1/keys/';

/** Undefined when there is no such path. `/v1/keys/` is a key path, with an empty key. */
export function resourceOf(path: string): Resource | undefined {
  if (path.startsWith(KEY_PATH)) return 'key';
  const query = path.indexOf('?');
  switch (query === -1 ? path : path.slice(0, query)) {
    case '/v1/keys':
      return 'keys';
    case '/v1/report':
      return 'report';
    case '/openapi.json':
      return 'openapi';
    default:
      return undefined;
  }
}

/** The origin form of a request target: servers must take the absolute form too (RFC 9112, section 3.2.2). */
export function originForm(target: string): string {
  if (target.startsWith('/')) return target;
  const authority = /^https?:\/\/[^/?#]*/i.exec(target)?.[0];
  if (authority === undefined) return target;
  const rest = target.slice(authority.length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/**
 * The key of a key path. Percent escapes are decoded once, as UTF-8; a plus sign is a plus sign.
 *
 * @throws INVALID_REQUEST, TOO_LARGE
 */
export function keyOf(path: string): string {
  const raw = path.slice(KEY_PATH.length);
  const key = NOT_PLAIN.test(raw) ? decodeKey(raw) : raw;
  if (key.length === 0) throw new DiptychError('INVALID_REQUEST', 'the key is empty; a key has 1 to 1,024 bytes');
  assertKeyBytes(key, 'the key');
  return key;
}

/** Anything that cannot be taken as it stands: escapes, a query, a fragment, blanks, and what is not ASCII. */
const NOT_PLAIN = /[^\x21\x22\x24\x26-\x3e\x40-\x7e]/;

function decodeKey(raw: string): string {
  // A key with a bare `?` would otherwise be cut short in silence, and a write would go to another key than was meant.
  if (raw.includes('?')) throw new DiptychError('INVALID_REQUEST', 'a key path takes no query; a question mark in a key is written %3F');
  return decode(raw, 'the key');
}

/** `+` means a blank here, as forms and `URLSearchParams` write it. Each parameter at most once, and only known ones. */
export function queryOf<Name extends string>(path: string, known: readonly Name[]): Partial<Record<Name, string>> {
  const found: Partial<Record<Name, string>> = {};
  const start = path.indexOf('?');
  if (start === -1) return found;
  for (const pair of path.slice(start + 1).split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decode((equals === -1 ? pair : pair.slice(0, equals)).replaceAll('+', ' '), 'the query');
    if (!isOneOf(name, known))
      throw new DiptychError('INVALID_REQUEST', `unknown query parameter ${JSON.stringify(name)}; known: ${known.join(', ') || 'none'}`);
    if (found[name] !== undefined) throw new DiptychError('INVALID_REQUEST', `the query parameter ${name} is given more than once`);
    found[name] = equals === -1 ? '' : decode(pair.slice(equals + 1).replaceAll('+', ' '), `the query parameter ${name}`);
  }
  return found;
}

/** @throws TOO_LARGE */
export function assertKeyBytes(text: string, what: string): void {
  // No character takes more than three bytes per UTF-16 unit, so most keys need no counting.
  if (text.length * 3 > KEY_BYTES_MAX && Buffer.byteLength(text) > KEY_BYTES_MAX)
    throw new DiptychError('TOO_LARGE', `${what} has ${Buffer.byteLength(text)} bytes; at most ${KEY_BYTES_MAX} are allowed`);
}

function decode(raw: string, what: string): string {
  if (NOT_A_URL.test(raw)) throw new DiptychError('INVALID_REQUEST', `${what} has a character that must be percent-encoded`);
  try {
    return decodeURIComponent(raw);
  } catch {
    throw new DiptychError('INVALID_REQUEST', `${what} has a broken percent escape, or one that is not UTF-8`);
  }
}

const NOT_A_URL = /[^ \x21\x22\x24-\x7e]/;

function isOneOf<Name extends string>(name: string, known: readonly Name[]): name is Name {
  return (known as readonly string[]).includes(name);
}
