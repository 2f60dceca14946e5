import type { TSchema, TUnsafe } from 'typebox';
import { Type } from 'typebox';

/**
 * The schema of binary data: a `Uint8Array` on both sides of the wire. Only plain clients that speak JSON see base64.
 *
 * @param options.bytesMax the most bytes that pass
 */
export function Bytes(options: { bytesMax?: number } = {}): TUnsafe<Uint8Array> {
  const { bytesMax = Number.MAX_SAFE_INTEGER } = options;
  return Type.Refine(
    Type.Unsafe<Uint8Array>({ contentEncoding: 'base64' }),
    (value: unknown) => value instanceof Uint8Array && value.byteLength <= bytesMax,
    (value: unknown) => (value instanceof Uint8Array ? `must be at most ${bytesMax} bytes` : 'must be bytes'),
  );
}

/** Whether a schema was made by `Bytes`. */
export function isBytes(schema: TSchema): boolean {
  return (schema as { contentEncoding?: unknown }).contentEncoding === 'base64';
}
