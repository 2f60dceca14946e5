import type { TUnsafe } from 'typebox';
import { Type } from 'typebox';

/**
 * The schema of binary data: a `Uint8Array` on both sides of the wire, never base64.
 *
 * @param options.bytesMax the most bytes that pass
 */
export function Bytes(options: { bytesMax?: number } = {}): TUnsafe<Uint8Array> {
  const { bytesMax = Number.MAX_SAFE_INTEGER } = options;
  return Type.Refine(
    Type.Unsafe<Uint8Array>({}),
    (value: unknown) => value instanceof Uint8Array && value.byteLength <= bytesMax,
    (value: unknown) => (value instanceof Uint8Array ? `must be at most ${bytesMax} bytes` : 'must be bytes'),
  );
}
