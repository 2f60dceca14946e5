/**
 * The value with binary data that owns its memory, for a structured clone copies the whole buffer behind a view: 8 KiB for a small Buffer, a
 * frame of 64 KiB for a part of it. What owns its memory already stays as it is, and nothing that was given is changed.
 *
 * @param fresh gets the copies worth handing over instead of being copied once more
 */
export function withOwnBytes(value: unknown, fresh: ArrayBuffer[], depth = DEPTH_MAX): unknown {
  if (typeof value !== 'object' || value === null || depth === 0) return value;
  if (value instanceof Uint8Array) return isOwn(value) ? value : copyOf(value, fresh);
  if (Array.isArray(value)) {
    const items = value as unknown[];
    return items.some(mayHoldBytes) ? items.map((item) => withOwnBytes(item, fresh, depth - 1)) : items;
  }
  const fields = value as Record<string, unknown>;
  let changed: Record<string, unknown> | undefined;
  for (const name in fields) {
    const field = fields[name];
    if (!mayHoldBytes(field)) continue;
    const own = withOwnBytes(field, fresh, depth - 1);
    if (own !== field) (changed ??= { ...fields })[name] = own;
  }
  return changed ?? value;
}

function isOwn({ byteLength, buffer }: Uint8Array): boolean {
  return byteLength === buffer.byteLength && buffer instanceof ArrayBuffer;
}

function copyOf(bytes: Uint8Array, fresh: ArrayBuffer[]): Uint8Array {
  const own = new Uint8Array(bytes);
  if (own.byteLength >= HAND_OVER_BYTES) fresh.push(own.buffer);
  return own;
}

function mayHoldBytes(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

/** No port nests deeper. */
const DEPTH_MAX = 8;
/** Handing a buffer over costs some microseconds, as much as copying this. */
const HAND_OVER_BYTES = 16_384;
