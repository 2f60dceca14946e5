import type { Report } from '../log.port.js';
import type { File } from './file-system.js';
import { readFully } from './file-system.js';
import { RecordView } from './record-view.js';
import { ReportStatistics } from './report-statistics.js';

/*
 * The three ways to run a report, over the same snapshot and with the same statistics, so that they answer alike. A worker thread loads
 * this file too: what it imports at run time is Node's, or needs nothing of other packages.
 */

/** Where the records of a report are, in key order: columns of numbers, so that a worker gets them without copying objects. */
export interface RecordPlaces {
  readonly segment: Uint32Array;
  readonly offset: Uint32Array;
  readonly recordBytes: Uint32Array;
}

/** By id; an id that is free has none. */
export type ReportSegments = ReadonlyArray<{ readonly seed: number } | undefined>;
export type ReportFiles = ReadonlyArray<File | undefined>;

/** A record that is not as it was written. The engine turns this into its own error. */
export class UnreadableRecord extends Error {
  readonly segment: number;
  readonly offset: number;

  constructor(segment: number, offset: number) {
    super(`the record at offset ${offset} of segment ${segment} cannot be read back`);
    this.segment = segment;
    this.offset = offset;
  }
}

export type ReportBody = Omit<Report, 'asOf'>;

/** From beginning to end in one go: nothing else runs on this thread meanwhile. */
export function reportInOneGo(places: RecordPlaces, segments: ReportSegments, files: ReportFiles): ReportBody {
  const entries = new EntryReader(places, segments);
  let buffer = Buffer.allocUnsafeSlow(64 * 1024);
  for (let i = 0; i < places.offset.length; i++) {
    const length = places.recordBytes[i]!;
    if (length > buffer.length) buffer = Buffer.allocUnsafeSlow(length);
    let filled = 0;
    for (let count = 1; filled < length && count > 0; filled += count)
      count = files[places.segment[i]!]!.readSync(buffer, filled, length - filled, places.offset[i]! + filled);
    entries.add(i, buffer, 0, filled);
  }
  return entries.statistics.finish();
}

/** In windows small enough that others get their turn within a few milliseconds. `onTurn` may throw to end it. */
export async function reportInTurns(
  places: RecordPlaces,
  segments: ReportSegments,
  files: ReportFiles,
  onTurn: () => void,
): Promise<ReportBody> {
  const entries = new EntryReader(places, segments);
  let buffer = Buffer.allocUnsafeSlow(WINDOW_BYTES);
  for (let first = 0; first < places.offset.length;) {
    onTurn();
    let end = first;
    let bytes = 0;
    while (
      end < places.offset.length &&
      end - first < WINDOW_RECORDS &&
      (end === first || bytes + places.recordBytes[end]! <= WINDOW_BYTES)
    )
      bytes += places.recordBytes[end++]!;
    if (bytes > buffer.length) buffer = Buffer.allocUnsafeSlow(bytes);
    const reads: Array<Promise<number>> = [];
    for (let i = first, at = 0; i < end; at += places.recordBytes[i++]!)
      reads.push(readFully(files[places.segment[i]!]!, buffer, at, places.recordBytes[i]!, places.offset[i]!));
    const filled = await Promise.all(reads);
    for (let i = first, at = 0; i < end; at += places.recordBytes[i++]!) entries.add(i, buffer, at, at + filled[i - first]!);
    first = end;
  }
  onTurn();
  return entries.statistics.finish();
}

const WINDOW_BYTES = 256 * 1024;
const WINDOW_RECORDS = 128;

class EntryReader {
  readonly statistics = new ReportStatistics();
  readonly #record = new RecordView();
  readonly #places: RecordPlaces;
  readonly #segments: ReportSegments;

  constructor(places: RecordPlaces, segments: ReportSegments) {
    this.#places = places;
    this.#segments = segments;
  }

  add(i: number, buffer: Buffer, start: number, end: number): void {
    const segment = this.#places.segment[i]!;
    if (this.#record.at(buffer, start, end, this.#segments[segment]!.seed) !== 'whole')
      throw new UnreadableRecord(segment, this.#places.offset[i]!);
    this.statistics.add(this.#record.keyView, this.#record.value);
  }
}
