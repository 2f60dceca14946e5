/**
 * Whether the text is a W3C `traceparent` (https://www.w3.org/TR/trace-context/#traceparent-header): of version 00, or of a later one, which is read by
 * the fields of version 00. Of what is none the standard says to take no notice, and to begin a trace of one's own.
 */
export function isTraceparent(text: string): boolean {
  return text.length <= TRACEPARENT_CHARS_MAX && TRACEPARENT.test(text);
}

/** One of version 00 has 55 characters; anything much longer is none. */
export const TRACEPARENT_CHARS_MAX = 128;

const TRACEPARENT = /^(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]*)?$/;
