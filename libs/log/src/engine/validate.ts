import { DiptychError } from '@diptych/kernel';
import type { AppendRequest, Condition, Position } from '../log.port.js';
import { CONTENT_TYPE_BYTES_MAX, KEY_BYTES_MAX, REQUEST_ID_CHARS_MAX, VALUE_BYTES_MAX } from '../log.port.js';
import { INCARNATION_PATTERN } from '../position-token.js';

/*
 * The contract's bounds, checked where the data is: a schema on the way may be missing (in-process), and a file that breaks them
 * could not be read again.
 */

/** @throws INVALID_REQUEST or TOO_LARGE */
export function assertAppendRequest({ mutation, condition, requestId }: AppendRequest): void {
  if (mutation.kind !== 'put' && mutation.kind !== 'delete') throw invalid('a mutation is a put or a delete');
  assertKey(mutation.key);
  if (typeof requestId !== 'string' || requestId.length === 0 || requestId.length > REQUEST_ID_CHARS_MAX || !isPrintable(requestId))
    throw invalid(`a requestId has 1 to ${REQUEST_ID_CHARS_MAX} printable ASCII characters`);
  if (mutation.kind === 'put') {
    if (!(mutation.value instanceof Uint8Array)) throw invalid('a value is a Uint8Array');
    if (mutation.value.byteLength > VALUE_BYTES_MAX)
      throw new DiptychError('TOO_LARGE', `the value has ${mutation.value.byteLength} bytes; at most ${VALUE_BYTES_MAX} are allowed`);
    // Most are the same as the last one.
    if (mutation.contentType !== lastContentType) assertContentType(mutation.contentType);
  }
  if (condition) assertCondition(condition);
}

let lastContentType = '';

function assertContentType(contentType: string): void {
  if (typeof contentType !== 'string' || !isPrintable(contentType)) throw invalid('a content type has printable ASCII characters only');
  if (contentType.length > CONTENT_TYPE_BYTES_MAX)
    throw new DiptychError('TOO_LARGE', `the content type is longer than ${CONTENT_TYPE_BYTES_MAX} bytes`);
  lastContentType = contentType;
}

/** @throws INVALID_REQUEST or TOO_LARGE */
export function assertKey(key: string): void {
  if (typeof key !== 'string' || key.length === 0) throw invalid('a key has 1 byte or more');
  assertText(key, 'the key');
}

/** Text that may be empty: a prefix, or where to go on. @throws INVALID_REQUEST or TOO_LARGE */
export function assertText(text: string, what: string): void {
  if (typeof text !== 'string' || !text.isWellFormed()) throw invalid(`${what} is not well-formed Unicode`);
  // A UTF-16 unit has 3 bytes at most, so that most keys need not be counted.
  if (text.length * 3 > KEY_BYTES_MAX && Buffer.byteLength(text) > KEY_BYTES_MAX)
    throw new DiptychError('TOO_LARGE', `${what} has ${Buffer.byteLength(text)} bytes; at most ${KEY_BYTES_MAX} are allowed`);
}

/** @throws INVALID_REQUEST */
export function assertWhole(value: number, minimum: number, maximum: number, what: string): void {
  if (!Number.isSafeInteger(value) || value < minimum || value > maximum)
    throw invalid(`${what} is a whole number from ${minimum} to ${maximum}`);
}

/** @throws INVALID_REQUEST */
export function assertPosition(position: Position): void {
  if (!INCARNATION_PATTERN.test(position.incarnation)) throw invalid('an incarnation has 16 lower-case hexadecimal digits');
  assertWhole(position.revision, 0, Number.MAX_SAFE_INTEGER, 'a revision');
}

function assertCondition(condition: Condition): void {
  if (condition.kind === 'ifAbsent' || condition.kind === 'ifPresent') return;
  if (condition.kind !== 'ifRevision' || !Array.isArray(condition.anyOf)) throw invalid('a condition is ifAbsent, ifPresent or ifRevision');
  if (condition.anyOf.length > POSITIONS_MAX) throw invalid(`ifRevision names at most ${POSITIONS_MAX} positions`);
  for (const position of condition.anyOf as readonly Position[]) assertPosition(position);
}

function invalid(message: string): DiptychError {
  return new DiptychError('INVALID_REQUEST', message);
}

/** Of an `ifRevision` condition. */
const POSITIONS_MAX = 16;

/** ASCII. A loop, because every append comes by here twice, and calling a regular expression takes longer than reading a short text. */
function isPrintable(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x20 || unit > 0x7e) return false;
  }
  return true;
}
