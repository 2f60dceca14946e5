import { seededRandom, seedFromEnv } from '@diptych/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { BROKEN_DISKS } from '../../test/broken-disks.js';
import type * as crashSuite from '../../test/crash-suite.js';
import type { DedupeWindow } from './dedupe-window.js';
import type { KeyIndex } from './key-index.js';

/*
 * Claim: the crash suite finds a mistake in the engine. Each of these makes one, by a disk that leaves a step of the engine out, or in one of
 * its modules; a suite that finds nothing then is blind.
 */
const IMAGES_MAX = 15_000;

type Options = Partial<Parameters<typeof crashSuite.crashEverywhere>[0]>;

async function firstViolation(options: Options = {}): Promise<string | undefined> {
  const { crashEverywhere } = await import('../../test/crash-suite.js');
  const report = await crashEverywhere({
    seed: seedFromEnv(),
    images: IMAGES_MAX,
    random: seededRandom,
    bursts: 15,
    violationsMax: 1,
    ...options,
  });
  return report.violations[0];
}

it.each(Object.entries(BROKEN_DISKS))('%s: caught', async (_, wrap) => {
  expect(await firstViolation({ wrap })).toBeDefined();
});

describe('the engine with', () => {
  afterEach(() => {
    vi.doUnmock('node:zlib');
    vi.doUnmock('./directory.js');
    vi.doUnmock('./compaction-plan.js');
    vi.restoreAllMocks();
    vi.resetModules();
  });

  it('checksums that are all the same: caught', async () => {
    vi.resetModules();
    vi.doMock('node:zlib', () => ({ crc32: () => 0 }));
    expect(await firstViolation()).toBeDefined();
  });

  it('torn tails that are not saved aside: caught', async () => {
    vi.resetModules();
    const saveTornBytes = async (_: unknown, directory: string) => `${directory}/torn/nothing`;
    vi.doMock('./directory.js', async (original) => ({ ...(await original<object>()), saveTornBytes }));
    expect(await firstViolation()).toBeDefined();
  });

  it('tombstones that compaction drops too early: caught', async () => {
    vi.resetModules();
    const cleanFloors = (segments: readonly unknown[]) => segments.map(() => Infinity);
    vi.doMock('./compaction-plan.js', async (original) => ({ ...(await original<object>()), cleanFloors }));
    expect(await firstViolation({ bursts: 60, imagesPerStep: 0 })).toBeDefined();
  });

  it.each<[string, () => Promise<void>]>([
    ['request ids that are forgotten', async () => patch((await dedupeWindow()).prototype, 'get', { value: () => undefined })],
    ['deletions that are not replayed', async () => patch((await keyIndex()).prototype, 'delete', { value: () => undefined })],
  ])('%s: caught', async (_, mutate) => {
    vi.resetModules();
    await mutate();
    expect(await firstViolation()).toBeDefined();
  });
});

const dedupeWindow = async (): Promise<typeof DedupeWindow> => (await import('./dedupe-window.js')).DedupeWindow;
const keyIndex = async (): Promise<typeof KeyIndex> => (await import('./key-index.js')).KeyIndex;

function patch(target: object, name: string, property: PropertyDescriptor): void {
  Object.defineProperty(target, name, { configurable: true, ...property });
}
