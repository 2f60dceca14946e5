import { crc32 } from 'node:zlib';

/** The first bytes of a segment. */
export interface SegmentHeader {
  /** 16 lower-case hexadecimal digits. */
  readonly incarnation: string;
  readonly partition: number;
  /** Of the first record that will be in this segment, or could have been; also in the file's name. */
  readonly firstRevision: number;
  readonly createdWallMs: number;
  /**
   * How often SKIPPED_REVISIONS were left out, right before its first revision or, when it is compacted, inside. Because a tail was cut off that may have been
   * acknowledged, so that nothing that came after it bears a revision which somebody may know.
   */
  readonly skips: number;
  /** Only of a segment that compaction wrote: its history has holes. */
  readonly compacted?: CompactedHeader | undefined;
}

export interface CompactedHeader {
  /** The segment stands for the history up to here, whatever of it is left. */
  readonly lastRevision: number;
  /** No put is in the segment that a mutation up to this revision superseded. */
  readonly cleanThrough: number;
  /** Greater than that of every segment this one was made of; 1 or more. So two files of one name are told apart. */
  readonly generation: number;
}

export const SEGMENT_HEADER_BYTES = 64;
/** More than any batch holds: see BATCH_BYTES_MAX. */
export const SKIPPED_REVISIONS = 2 ** 20;
/** A log that was never compacted, and never lost a tail, holds version 1 only, which older programs read too. */
const VERSION_PLAIN = 1;
const VERSION_COMPACTED = 2;
/** Added to either when revisions were left out. */
const VERSION_SKIPS = 2;

const MAGIC = Buffer.from('DIPTYLOG', 'latin1');
const SKIPS = 10;
const SKIPS_MAX = 0xffff;
const LAST_REVISION = 40;
const CLEAN_THROUGH = 48;
const GENERATION = 56;
const CRC = SEGMENT_HEADER_BYTES - 4;

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt16LE((header.compacted ? VERSION_COMPACTED : VERSION_PLAIN) + (header.skips > 0 ? VERSION_SKIPS : 0), 8);
  bytes.writeUInt16LE(Math.min(header.skips, SKIPS_MAX), SKIPS);
  bytes.writeUInt32LE(header.partition, 12);
  bytes.write(header.incarnation, 16, 'hex');
  bytes.writeBigUInt64LE(BigInt(header.firstRevision), 24);
  bytes.writeBigUInt64LE(BigInt(Math.trunc(header.createdWallMs)), 32);
  if (header.compacted) {
    bytes.writeBigUInt64LE(BigInt(header.compacted.lastRevision), LAST_REVISION);
    bytes.writeBigUInt64LE(BigInt(header.compacted.cleanThrough), CLEAN_THROUGH);
    bytes.writeUInt32LE(header.compacted.generation, GENERATION);
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(0, CRC)), CRC);
  return bytes;
}

/** Says in words what is wrong when it is no header that this version can read. */
export function decodeSegmentHeader(bytes: Buffer): (SegmentHeader & { readonly seed: number }) | { readonly problem: string } {
  if (bytes.length < SEGMENT_HEADER_BYTES) return { problem: `the file ends after ${bytes.length} bytes, inside its header` };
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return { problem: 'this is not a segment of a Diptych log' };
  const version = bytes.readUInt16LE(8);
  if (version < VERSION_PLAIN || version > VERSION_COMPACTED + VERSION_SKIPS)
    return {
      problem: `the segment is of format version ${version}, and this program reads versions ${VERSION_PLAIN} to ${VERSION_COMPACTED + VERSION_SKIPS} only`,
    };
  const seed = segmentSeed(bytes);
  if (crc32(bytes.subarray(0, CRC)) !== seed) return { problem: 'the checksum of the header does not match' };
  return {
    incarnation: bytes.toString('hex', 16, 24),
    partition: bytes.readUInt32LE(12),
    firstRevision: Number(bytes.readBigUInt64LE(24)),
    createdWallMs: Number(bytes.readBigUInt64LE(32)),
    skips: bytes.readUInt16LE(SKIPS),
    compacted: version % VERSION_SKIPS === 0 ? decodeCompacted(bytes) : undefined,
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

function decodeCompacted(bytes: Buffer): CompactedHeader {
  return {
    lastRevision: Number(bytes.readBigUInt64LE(LAST_REVISION)),
    cleanThrough: Number(bytes.readBigUInt64LE(CLEAN_THROUGH)),
    generation: bytes.readUInt32LE(GENERATION),
  };
}
