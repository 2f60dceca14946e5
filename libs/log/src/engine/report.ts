import { Worker } from 'node:worker_threads';
import type { CallContext, Clock } from '@diptych/kernel';
import { DiptychError, assertAlive, deadlines } from '@diptych/kernel';
import { unreadableError } from './damage.js';
import type { KeyIndex } from './key-index.js';
import type { RecordPlaces, ReportBody } from './report-run.js';
import { UnreadableRecord, reportInOneGo, reportInTurns } from './report-run.js';
import type { WorkerResult, WorkerSegment, WorkerTask } from './report-worker.js';
import type { Segment } from './segment.js';

/**
 * How a report runs: `loop` holds up everything else on the event loop, `yielding` gives way every few milliseconds, `worker` uses another
 * thread. All three answer alike.
 */
export type ReportMode = 'loop' | 'yielding' | 'worker';

/**
 * The entries under a prefix as they are now. A segment that
 * compaction replaces stays open as it was until its last reader is done, so the places stay good while others write. In one go, in
 * every mode, so that they are of one moment: this holds up the event loop, about 27 ms for 138,000 entries.
 */
export function placesUnder(index: KeyIndex, prefix: string): RecordPlaces {
  const segment: number[] = [];
  const offset: number[] = [];
  const recordBytes: number[] = [];
  index.scan(prefix, undefined, (_key, location) => {
    segment.push(location.segment);
    offset.push(location.offset);
    recordBytes.push(location.recordBytes);
    return true;
  });
  return { segment: Uint32Array.from(segment), offset: Uint32Array.from(offset), recordBytes: Uint32Array.from(recordBytes) };
}

/** @param segments by id @throws DEADLINE_EXCEEDED or CANCELLED; INTERNAL that names file and offset when a record cannot be read back */
export async function runReport(
  mode: ReportMode,
  places: RecordPlaces,
  segments: ReadonlyArray<Segment | undefined>,
  context: CallContext,
  clock: Clock,
): Promise<ReportBody> {
  try {
    const files = segments.map((segment) => segment?.reader);
    if (mode === 'loop') return reportInOneGo(places, segments, files);
    if (mode === 'yielding') return await reportInTurns(places, segments, files, () => assertAlive(context, clock));
    const result = await inWorker({ places, segments: segments.map((segment) => segment && forWorker(segment)) }, context);
    if ('body' in result) return result.body;
    throw new UnreadableRecord(result.unreadable.segment, result.unreadable.offset);
  } catch (error) {
    if (!(error instanceof UnreadableRecord)) throw error;
    throw unreadableError(segments[error.segment]!.path, error.offset);
  }
}

function forWorker({ path, seed, reader }: Segment): WorkerSegment {
  return { path, seed, descriptor: reader.descriptor };
}

function inWorker(task: WorkerTask, context: CallContext): Promise<WorkerResult> {
  const worker = new Worker(new URL(WORKER_FILE, import.meta.url), { workerData: task });
  return new Promise<WorkerResult>((resolve, reject) => {
    const stop = () => {
      timer[Symbol.dispose]();
      context.signal?.removeEventListener('abort', onAbort);
      void worker.terminate();
    };
    const fail = (error: DiptychError) => (stop(), reject(error));
    const onAbort = () => fail(new DiptychError('CANCELLED', 'the report was cancelled', { definite: true }));
    const timer = deadlines.at(context.deadlineMs, () =>
      fail(new DiptychError('DEADLINE_EXCEEDED', 'the report was not ready before its deadline', { definite: true })),
    );
    context.signal?.addEventListener('abort', onAbort, { once: true });
    worker.once('message', (result: WorkerResult) => (stop(), resolve(result)));
    worker.once('error', (error) => fail(new DiptychError('INTERNAL', 'the worker of a report failed', { cause: error })));
    worker.once('exit', () => fail(new DiptychError('INTERNAL', 'the worker of a report ended without an answer')));
  });
}

const WORKER_FILE = import.meta.url.endsWith('.ts') ? './report-worker.ts' : './report-worker.js';
