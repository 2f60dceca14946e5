import { crc32 } from 'node:zlib';

/** The first bytes of a segment. */
export interface SegmentHeader {
  /** 16 lower-case hexadecimal digits. */
  readonly incarnation: string;
  readonly partition: number;
  /** Of the first record that will be in this segment; also in the file's name. */
  readonly firstRevision: number;
  readonly createdWallMs: number;
}

export const SEGMENT_HEADER_BYTES = 64;
const FORMAT_VERSION = 1;

const MAGIC = Buffer.from('DIPTYLOG', 'latin1');
const CRC = SEGMENT_HEADER_BYTES - 4;

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt16LE(FORMAT_VERSION, 8);
  bytes.writeUInt32LE(header.partition, 12);
  bytes.write(header.incarnation, 16, 'hex');
  bytes.writeBigUInt64LE(BigInt(header.firstRevision), 24);
  bytes.writeBigUInt64LE(BigInt(Math.trunc(header.createdWallMs)), 32);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CRC)), CRC);
  return bytes;
}

/** Says in words what is wrong when it is no header that this version can read. */
export function decodeSegmentHeader(bytes: Buffer): (SegmentHeader & { readonly seed: number }) | { readonly problem: string } {
  if (bytes.length < SEGMENT_HEADER_BYTES) return { problem: `the file ends after ${bytes.length} bytes, inside its header` };
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return { problem: 'this is not a segment of a Diptych log' };
  const version = bytes.readUInt16LE(8);
  if (version !== FORMAT_VERSION)
    return { problem: `the segment is of format version ${version}, and this program reads version ${FORMAT_VERSION} only` };
  const seed = segmentSeed(bytes);
  if (crc32(bytes.subarray(0, CRC)) !== seed) return { problem: 'the checksum of the header does not match' };
  return {
    incarnation: bytes.toString('hex', 16, 24),
    partition: bytes.readUInt32LE(12),
    firstRevision: Number(bytes.readBigUInt64LE(24)),
    createdWallMs: Number(bytes.readBigUInt64LE(32)),
    seed,
  };
}

/**
 * Where the checksums of a segment's records begin: the checksum of its header. So a record of another segment, which a file
 * system may leave behind in a block it hands out anew, is never taken for one of this.
 */
export function segmentSeed(header: Buffer): number {
  return header.readUInt32LE(CRC);
}
