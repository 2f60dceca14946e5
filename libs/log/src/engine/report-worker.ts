import { registerHooks } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import type { RecordPlaces, ReportBody, ReportSegment } from './report-run.js';

/*
 * The report in a thread of its own, with files of its own. Run from source this file is TypeScript, which Node strips of its types by itself, but
 * then our `./x.js` are to be found as `./x.ts`.
 */
if (import.meta.url.endsWith('.ts'))
  registerHooks({
    resolve: (specifier, context, next) => next(specifier.startsWith('.') ? specifier.replace(/\.js$/, '.ts') : specifier, context),
  });

export interface WorkerTask {
  readonly places: RecordPlaces;
  readonly segments: readonly ReportSegment[];
}

export type WorkerResult = { readonly body: ReportBody } | { readonly unreadable: { readonly segment: number; readonly offset: number } };

const { nodeFileSystem } = await import('./file-system.js');
const { UnreadableRecord, reportInOneGo } = await import('./report-run.js');
const { places, segments } = workerData as WorkerTask;

parentPort!.postMessage(await run());

async function run(): Promise<WorkerResult> {
  const files = await Promise.all(segments.map(({ path }) => nodeFileSystem.open(path, 'read')));
  try {
    return { body: reportInOneGo(places, segments, files) };
  } catch (error) {
    if (error instanceof UnreadableRecord) return { unreadable: { segment: error.segment, offset: error.offset } };
    throw error;
  } finally {
    for (const file of files) await file.close();
  }
}
