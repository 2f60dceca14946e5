import { damageError } from './damage.js';
import type { File, FileSystem } from './file-system.js';
import { readFully } from './file-system.js';
import type { SegmentHeader } from './segment-header.js';
import { SEGMENT_HEADER_BYTES, decodeSegmentHeader } from './segment-header.js';

export interface OpenedSegment {
  readonly reader: File;
  readonly header: SegmentHeader & { readonly seed: number };
}

/** Opens a segment for reading. @throws INTERNAL when its header is damaged or of another version, and what the file system throws */
export async function openSegment(fileSystem: FileSystem, path: string): Promise<OpenedSegment> {
  const reader = await fileSystem.open(path, 'read');
  try {
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
    const filled = await readFully(reader, bytes, 0, bytes.length, 0);
    const header = decodeSegmentHeader(bytes.subarray(0, filled));
    if ('problem' in header) throw damageError(path, 0, header.problem);
    return { reader, header };
  } catch (error) {
    await reader.close().catch(() => undefined);
    throw error;
  }
}
