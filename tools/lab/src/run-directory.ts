import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Meta } from './results.js';

/**
 * Makes the directory of a run, `results/<name>/<time>` or the one that was asked for, and writes its manifest: what is to be run, before it is run.
 *
 * @returns its path
 * @throws Error with one sentence when nothing can be written there, or when there is a run already
 */
export function beginRunDirectory(name: string, asked: string | undefined, meta: Meta, plan: object): string {
  if (asked?.trim() === '') throw new Error('--out wants the name of a directory, got an empty one');
  const dir = asked ?? join('results', name, meta.startedAt.replaceAll(':', '-').slice(0, 19));
  if (existsSync(join(dir, 'manifest.json'))) throw new Error(`${dir} holds a run already: name another directory with --out`);
  try {
    makeDirectory(resolve(dir, 'history'));
    writeWhole(join(dir, 'manifest.json'), `${JSON.stringify({ format: 'lab-manifest/1', ...meta, plan }, null, 1)}\n`);
  } catch (error) {
    throw new Error(`cannot write results to ${dir}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  return dir;
}

/**
 * Writes a file beside its place and then puts it there: what was there before stays until all of the new one is written.
 *
 * @throws Error with one sentence when it cannot be written, for example on a full disk
 */
export function writeWhole(file: string, text: string): void {
  const unfinished = `${file}.unfinished`;
  try {
    writeFileSync(unfinished, text);
    renameSync(unfinished, file);
  } catch (error) {
    rmSync(unfinished, { force: true, recursive: true });
    throw new Error(`cannot write ${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** One level at a time: Node's own recursive way never returns where a directory says that it cannot hold another, such as /proc. */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  makeDirectory(dirname(path));
  mkdirSync(path);
}
