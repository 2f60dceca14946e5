import { registerHooks } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import type { File } from './file-system.js';
import type { RecordPlaces, ReportBody } from './report-run.js';

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
  /** By id. */
  readonly segments: ReadonlyArray<WorkerSegment | undefined>;
}

export interface WorkerSegment {
  readonly path: string;
  readonly seed: number;
  /** Of the open file, which the other thread keeps open: by now another may have its name. */
  readonly descriptor: number | undefined;
}

export type WorkerResult = { readonly body: ReportBody } | { readonly unreadable: { readonly segment: number; readonly offset: number } };

const { nodeFileSystem, openedFile } = await import('./file-system.js');
const { UnreadableRecord, reportInOneGo } = await import('./report-run.js');
const { places, segments } = workerData as WorkerTask;

parentPort!.postMessage(await run());

async function run(): Promise<WorkerResult> {
  const files = await Promise.all(segments.map(async (segment) => segment && open(segment)));
  try {
    return { body: reportInOneGo(places, segments, files) };
  } catch (error) {
    if (error instanceof UnreadableRecord) return { unreadable: { segment: error.segment, offset: error.offset } };
    throw error;
  } finally {
    for (const [id, file] of files.entries()) if (segments[id]?.descriptor === undefined) await file?.close();
  }
}

function open({ path, descriptor }: WorkerSegment): Promise<File> {
  return descriptor === undefined ? nodeFileSystem.open(path, 'read') : Promise.resolve(openedFile(descriptor));
}
