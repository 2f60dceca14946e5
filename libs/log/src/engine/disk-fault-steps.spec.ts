import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isDiptychError } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import { waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { allKeys, putRequest, segmentsIn, useLogs } from '../../test/log-fixture.js';
import type { FileLog } from './file-log.js';

/*
 * The same appends with a fault at each step of the file operations in turn; then the log is closed at once, or goes on and is
 * closed, or goes on and crashes in the middle of a write. Whatever happens it must open again, with all that was acknowledged, and with
 * nothing that was refused for certain.
 */

const logs = useLogs();

type End = 'continue' | 'close' | 'crash';

const SEGMENT_BYTES = 500;

class Run {
  readonly clock = new FakeClock();
  readonly fileSystem = Object.assign(new FaultyFileSystem(), { syncs: false });
  readonly acknowledged = new Set<string>();
  readonly refused = new Set<string>();
  readonly asked = new Set<string>();
  log: FileLog | undefined;
  #step = 0;

  /** @param steps those that fail, counted from the first of all */
  constructor(steps: readonly [number, number], code: string, bytes: number | undefined, onFault: () => void = () => undefined) {
    this.fileSystem.fault = () => {
      const step = this.#step++;
      if (step < steps[0] || step >= steps[1]) return undefined;
      onFault();
      return { code, bytes };
    };
  }

  get steps(): number {
    return this.#step;
  }

  async open(): Promise<void> {
    this.log = await logs.open({ fileSystem: this.fileSystem, clock: this.clock, segmentBytes: SEGMENT_BYTES }).catch((error: unknown) => {
      if (!isDiptychError(error)) throw error;
      return undefined;
    });
  }

  /** All in one turn, so in one batch. */
  async append(...keys: string[]): Promise<void> {
    const appends = keys.map(async (key) => {
      this.asked.add(key);
      try {
        await this.log!.append(putRequest(key, 'x'.repeat(50)), { deadlineMs: this.clock.nowMs() + 600_000 });
        this.acknowledged.add(key);
      } catch (error) {
        if (!isDiptychError(error)) throw error;
        if (error.definite) this.refused.add(key);
      }
    });
    await Promise.all(appends);
  }

  async work(): Promise<void> {
    for (let i = 0; i < 4; i++) {
      await this.append(`single ${i}`);
      await this.append(`left ${i}`, `right ${i}`);
      if (!this.log!.status.writable) await this.#writableAgain();
    }
  }

  async #writableAgain(): Promise<void> {
    await waitFor(() => (this.clock.advance(5_000), this.log!.status.writable), { what: 'writing again' });
  }
}

async function check(run: Run, what: string): Promise<void> {
  const failed = (error: Error) => Promise.reject(new Error(`${what}: refuses to open: ${error.message}`));
  const again = await logs
    .open({ segmentBytes: SEGMENT_BYTES, fileSystem: Object.assign(new FaultyFileSystem(), { syncs: false }) })
    .catch(failed);
  const keys = new Set(await allKeys(again));
  expect(
    [...run.acknowledged].filter((key) => !keys.has(key)),
    `${what}: lost`,
  ).toEqual([]);
  expect(
    [...run.refused].filter((key) => keys.has(key)),
    `${what}: refused, and there`,
  ).toEqual([]);
  expect(
    [...keys].filter((key) => !run.asked.has(key)),
    `${what}: invented`,
  ).toEqual([]);
  await again.close();
}

/** What a crash may leave of a write that was not synced. */
const TEARS: ReadonlyArray<(bytes: Buffer, start: number) => Buffer> = [
  (bytes) => bytes,
  (bytes, start) => (bytes.fill(0, start, start + 20), bytes),
  (bytes, start) => bytes.subarray(0, start + 30),
  (bytes, start) => bytes.subarray(0, Math.floor((start + bytes.length) / 2) + 10),
  (bytes, start) => (bytes.fill(0, bytes.length - 10), bytes.fill(0, start + 80, start + 90), bytes),
];

/** Each image in turn in the place of the directory. */
async function checkImages(run: Run, what: string, start: number): Promise<void> {
  const directory = await logs.directory();
  for (const [index, tear] of TEARS.entries()) {
    rmSync(directory, { recursive: true });
    cpSync(`${directory}-image`, directory, { recursive: true });
    const newest = segmentsIn(directory).at(-1)!;
    writeFileSync(newest, tear(readFileSync(newest), start));
    await check(run, `${what}, tear ${index}`);
    // Once more: what the open itself wrote must stand, too.
    await check(run, `${what}, tear ${index}, the second time`);
  }
}

async function runWith(steps: readonly [number, number], code: string, bytes: number | undefined, end: End): Promise<number> {
  const directory = await logs.directory();
  const what = `${code} (${bytes} bytes) at steps ${steps.join(' to ')}, ${end}`;
  let closing: Promise<void> | undefined;
  const run = new Run(steps, code, bytes, () => {
    if (end === 'close') closing ??= run.log?.close();
  });
  await run.open();
  if (run.log) {
    if (end === 'close') {
      for (let i = 0; i < 4 && !closing; i++) {
        await run.append(`single ${i}`);
        await run.append(`left ${i}`, `right ${i}`);
        await Promise.all([run.append(`one ${i}`), run.append(`other ${i}`)]);
      }
    } else await run.work();
    if (end === 'crash') await crash(run, what);
    await run.log.close();
  }
  if (end !== 'crash') await check(run, what);
  rmSync(directory, { recursive: true, force: true });
  return run.steps;
}

async function crash(run: Run, what: string): Promise<void> {
  const directory = await logs.directory();
  // So that no recovery is under way any more.
  run.fileSystem.fault = () => undefined;
  await run.append('settled');
  expect(run.acknowledged.has('settled')).toBe(true);
  let release: () => void = () => undefined;
  const wait = new Promise<void>((resolve) => (release = resolve));
  let atSync = false;
  let start = 0;
  run.fileSystem.fault = (operation, openedAs) => {
    // Of the batch, not of a rotation's header.
    const path = openedAs.replace(/\.new$/, '');
    if (!path.endsWith('.segment') || !existsSync(path)) return undefined;
    if (operation === 'write' && start === 0) start = readFileSync(path).length;
    if (operation !== 'sync') return undefined;
    atSync = true;
    return { wait };
  };
  const last = run.append('last', 'very last', 'really last');
  await waitFor(() => atSync, { what: 'the last sync' });
  cpSync(directory, `${directory}-image`, { recursive: true, filter: (path) => !path.includes('lock.sqlite') });
  release();
  const acknowledged = new Set(run.acknowledged);
  await last;
  await run.log!.close();
  run.acknowledged.clear();
  for (const key of acknowledged) run.acknowledged.add(key);
  await checkImages(run, what, start);
  rmSync(`${directory}-image`, { recursive: true });
}

for (const code of ['ENOSPC', 'EIO'])
  for (const end of ['continue', 'close', 'crash'] as const)
    it(`${code} at each step, then ${end}: opens again, nothing lost, nothing invented`, { timeout: 120_000 }, async () => {
      for (const [faults, bytes] of [
        [1, undefined],
        [1, 30],
        [3, undefined],
      ] as const)
        if (end !== 'crash' || bytes === undefined)
          for (let step = 0; ; step++) {
            const steps = await runWith([step, step + faults], code, bytes, end);
            if (step >= steps) break;
          }
    });
