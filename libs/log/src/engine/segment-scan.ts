import type { File } from './file-system.js';
import { readFully } from './file-system.js';
import { RECORD_BYTES_MAX, RECORD_HEAD_BYTES, RECORD_MARKER, RECORD_MARKER_OFFSET, ROOM_BYTE } from './record-layout.js';
import { RecordView } from './record-view.js';

export interface ScanResult {
  /** Where the last whole record ends. Equal to the file's size when all is well. */
  readonly wholeEnd: number;
  /** Of the last whole record; 0 when there is none. */
  readonly batch: number;
  readonly batchEnd: boolean;
}

export interface ScanOptions {
  /** Read at once, unless a record is larger. Default 4 MiB. */
  readonly windowBytes?: number;
  /** Awaited after the records of each window were shown, with the bytes they took: to write, to wait, or to throw. */
  readonly onWindow?: (bytes: number) => Promise<void>;
}

/**
 * Reads the records of a segment from `start` to the end of the file or the first that is not whole, in large sequential reads, and shows
 * each to `visit`. The view is only valid inside the call.
 */
export async function scanSegment(
  file: File,
  start: number,
  size: number,
  seed: number,
  visit: (record: RecordView, offset: number) => void,
  { windowBytes = SCAN_BUFFER_BYTES, onWindow }: ScanOptions = {},
): Promise<ScanResult> {
  let buffer = Buffer.allocUnsafeSlow(Math.min(windowBytes, Math.max(size - start, 1)));
  const record = new RecordView();
  let base = start;
  let filled = 0;
  let batch = 0;
  let batchEnd = true;
  for (;;) {
    const wanted = Math.min(buffer.length - filled, size - base - filled);
    const got = wanted > 0 ? await readFully(file, buffer, filled, wanted, base + filled) : 0;
    filled += got;
    let offset = 0;
    let found: ReturnType<RecordView['at']> = 'more';
    while (offset < filled && (found = record.at(buffer, offset, filled, seed)) === 'whole') {
      visit(record, base + offset);
      ({ batch, batchEnd } = record);
      offset += record.length;
    }
    if (onWindow && offset > 0) await onWindow(offset);
    if (offset < filled && found === 'bad') return { wholeEnd: base + offset, batch, batchEnd };
    if (got < wanted || base + filled >= size) return { wholeEnd: base + offset, batch, batchEnd };
    const rest = buffer;
    // No whole record fitted in.
    if (offset === 0 && filled === buffer.length) buffer = Buffer.allocUnsafeSlow(Math.min(RECORD_BYTES_MAX, size - base));
    rest.copy(buffer, 0, offset, filled);
    base += offset;
    filled -= offset;
  }
}

/**
 * Where a whole record of a later batch begins after `start`; undefined when there is none.
 *
 * A batch is written only after the one before it was synced. So bytes that are not whole, with a later batch behind them, were durable
 * once: that is damage. With nothing later behind them they may be what a crash left of the last write: a torn tail.
 */
export async function findLaterBatch(file: File, start: number, size: number, seed: number, batch: number): Promise<number | undefined> {
  const record = new RecordView();
  // Windows overlap by the largest record, so that each record lies whole in the window it begins in.
  const buffer = Buffer.allocUnsafeSlow(Math.min(SEARCH_BYTES + RECORD_BYTES_MAX, size - start));
  for (let base = start; base < size; base += SEARCH_BYTES) {
    const filled = await readFully(file, buffer, 0, Math.min(buffer.length, size - base), base);
    for (let at = buffer.indexOf(RECORD_MARKER); at !== -1 && at < filled; at = buffer.indexOf(RECORD_MARKER, at + 1)) {
      const offset = at - RECORD_MARKER_OFFSET;
      if (offset < 0 || offset >= SEARCH_BYTES || filled - offset < RECORD_HEAD_BYTES) continue;
      if (record.at(buffer, offset, filled, seed) === 'whole' && record.batch > batch) return base + offset;
    }
  }
  return undefined;
}

/**
 * Whether there is but room from `start` to the end of the file: the log ends before it, and nothing is torn. `size` is what the file had: whoever writes to it
 * may have given room back meanwhile.
 */
export async function isRoom(file: File, start: number, size: number): Promise<boolean> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(ROOM_WINDOW_BYTES, Math.max(0, size - start)));
  for (let at = start; at < size; at += buffer.length) {
    const wanted = Math.min(buffer.length, size - at);
    const filled = await readFully(file, buffer, 0, wanted, at);
    if (buffer.subarray(0, filled).some((byte) => byte !== ROOM_BYTE)) return false;
    if (filled < wanted) break;
  }
  return true;
}

const ROOM_WINDOW_BYTES = 64 * 1024;
/** Holds the largest record several times. */
const SCAN_BUFFER_BYTES = 4 * 1024 * 1024;
const SEARCH_BYTES = 4 * 1024 * 1024;
