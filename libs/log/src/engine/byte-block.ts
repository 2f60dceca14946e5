/** A stretch of bytes with the view of it that words are read and written through, several times quicker than by the buffer's own methods. */
export interface ByteBlock {
  readonly bytes: Buffer;
  readonly view: DataView;
}

/** A new one, of which nothing else is a part. Its bytes are not cleared. */
export function byteBlock(length: number): ByteBlock {
  return blockOf(Buffer.allocUnsafeSlow(length));
}

export function blockOf(bytes: Buffer): ByteBlock {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

/** The block itself when so many bytes find room behind those that are used, else one of twice the size with a copy of these. */
export function withRoom(block: ByteBlock, used: number, more: number): ByteBlock {
  const { bytes } = block;
  if (used + more <= bytes.length) return block;
  const grown = byteBlock(Math.max(bytes.length * 2, used + more));
  bytes.copy(grown.bytes, 0, 0, used);
  return grown;
}
