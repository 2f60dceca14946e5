import type { IncomingMessage } from 'node:http';
import { randomUUID } from 'node:crypto';
import { DiptychError } from '@diptych/kernel';
import { CONTENT_TYPE_BYTES_MAX, REQUEST_ID_CHARS_MAX, parsePosition, type Position } from '@diptych/log';
import { Refusal } from './problem.js';

/** What a value without a `Content-Type` is. */
export const DEFAULT_CONTENT_TYPE = 'application/octet-stream';

/** The client's state in `Diptych-Revision`: it must not be shown an older one. @throws INVALID_REQUEST */
export function tokenOf(header: string | string[] | undefined): Position | undefined {
  if (header === undefined) return undefined;
  const position = typeof header === 'string' ? parsePosition(header) : undefined;
  if (!position) throw new DiptychError('INVALID_REQUEST', 'Diptych-Revision is not a token that this system gave out; leave it away');
  return position;
}

/** The id that makes a write safe to repeat: the client's, else a new one. @throws INVALID_REQUEST */
export function requestIdOf(header: string | string[] | undefined): string {
  if (header === undefined) return randomUUID();
  if (typeof header !== 'string' || !VISIBLE.test(header) || header.length > REQUEST_ID_CHARS_MAX)
    throw new DiptychError('INVALID_REQUEST', `Idempotency-Key must be 1 to ${REQUEST_ID_CHARS_MAX} visible ASCII characters, given once`);
  return header;
}

const VISIBLE = /^[\x21-\x7e]+$/;

/** The time the client gives this request, never more than ours. @throws INVALID_REQUEST */
export function timeoutMsOf(header: string | string[] | undefined, timeoutMsMax: number): number {
  if (header === undefined) return timeoutMsMax;
  if (typeof header !== 'string' || !/^[1-9][0-9]{0,8}$/.test(header))
    throw new DiptychError('INVALID_REQUEST', 'Diptych-Timeout-Ms must be a whole number of milliseconds of 1 or more');
  return Math.min(Number(header), timeoutMsMax);
}

/**
 * The content type to keep with a value: what was sent, whatever it says, as long as it can be sent back as a header.
 *
 * @throws INVALID_REQUEST
 */
export function contentTypeOf(request: IncomingMessage): string {
  const header = request.headers['content-type'];
  if (header === undefined || header === '') return DEFAULT_CONTENT_TYPE;
  if (!isSendable(header)) throw new DiptychError('INVALID_REQUEST', 'Content-Type has characters other than printable ASCII');
  if (header.length > CONTENT_TYPE_BYTES_MAX)
    throw new DiptychError('INVALID_REQUEST', `Content-Type has ${header.length} bytes; at most ${CONTENT_TYPE_BYTES_MAX} are allowed`);
  // Node keeps the first of several and says nothing.
  assertOnce(request, 'content-type');
  return header;
}

/** Whether a content type can go into a header. Entries can also come from elsewhere than this gateway. */
export function isSendable(contentType: string): boolean {
  return SENDABLE.test(contentType);
}

const SENDABLE = /^[\x20-\x7e]*$/;

/** @throws INVALID_REQUEST when a header that has one value comes several times */
export function assertOnce(request: IncomingMessage, lowerCaseName: string): void {
  const { rawHeaders } = request;
  let count = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.length === lowerCaseName.length && rawHeaders[i]!.toLowerCase() === lowerCaseName) count++;
  }
  if (count > 1) throw new DiptychError('INVALID_REQUEST', `the header ${lowerCaseName} is given ${count} times`);
}

/**
 * Refuses what would be stored and given back wrongly: an encoded body, and a part of one.
 *
 * @throws INVALID_REQUEST (415 for an encoding; RFC 9110, sections 8.4 and 14.5)
 */
export function assertWholeAndPlain(request: IncomingMessage): void {
  const { 'content-encoding': encoding, 'content-range': range } = request.headers;
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity')
    throw new Refusal(415, 'INVALID_REQUEST', 'Content-Encoding is not supported: the value is kept as it is sent', [
      'Accept-Encoding',
      'identity',
    ]);
  if (range !== undefined)
    throw new DiptychError('INVALID_REQUEST', 'a part of a value cannot be put; send it whole, without Content-Range');
}
