/**
 * Whether the text is a W3C `traceparent` (https://www.w3.org/TR/trace-context/#traceparent-header): of version 00, or of a later one, which is read by
 * the fields of version 00. Of what is none the standard says to take no notice, and to begin a trace of one's own.
 *
 * Each call that a process serves is asked this, so it is no regular expression, which takes four times as long (320 ns against 80).
 */
export function isTraceparent(text: string): boolean {
  const { length } = text;
  if (length < FIELDS_CHARS || length > TRACEPARENT_CHARS_MAX) return false;
  if (text.charCodeAt(2) !== DASH || text.charCodeAt(35) !== DASH || text.charCodeAt(52) !== DASH) return false;
  if (hexIn(text, 3, 35) !== Hex.SOME || hexIn(text, 36, 52) !== Hex.SOME) return false;
  if (hexIn(text, 0, 2) === Hex.NONE || hexIn(text, 53, 55) === Hex.NONE || text.startsWith('ff')) return false;
  return length === FIELDS_CHARS || (!text.startsWith('00') && MORE_FIELDS.test(text.slice(FIELDS_CHARS)));
}

/** Anything much longer is none. */
export const TRACEPARENT_CHARS_MAX = 128;

const FIELDS_CHARS = 55;
const DASH = 0x2d;
const MORE_FIELDS = /^-[\x21-\x7e]*$/;

/** What a part of a text holds: something else than lower-case hexadecimal digits, nothing but zeros, or other digits too. */
const Hex = { NONE: 0, ZEROS: 1, SOME: 3 } as const;

function hexIn(text: string, start: number, end: number): number {
  let found: number = Hex.ZEROS;
  for (let at = start; at < end; at++) {
    const digit = DIGITS[text.charCodeAt(at)];
    if (digit === undefined || digit === Hex.NONE) return Hex.NONE;
    found |= digit;
  }
  return found;
}

const DIGITS = Uint8Array.from({ length: 128 }, (_, code) =>
  code === 0x30 ? Hex.ZEROS : /[1-9a-f]/.test(String.fromCharCode(code)) ? Hex.SOME : Hex.NONE,
);
