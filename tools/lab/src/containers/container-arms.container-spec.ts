import { readFileSync } from 'node:fs';
import { profile, seedFromEnv, tempDir, waitFor } from '@diptych/testing';
import { expect, inject, it } from 'vitest';
import { Containers } from './container-arms.js';
import { partsOf } from './limits.js';
import { quotaFindings } from './quota.js';

/*
 * Goal: `--runtime docker` runs an arm in containers that are held to their quotas, and tells what they use from the engine's own account.
 * Method: each arm is asked for more than its quota allows until the kernel has held it back; then the part with the log is killed and comes back.
 */
const PATIENCE = { timeoutMs: 60_000, pollMs: 20 };

const ARMS = [
  ['monolith', 'monolith'],
  ['services', 'log'],
] as const;

// Under CI one of them, by the run's seed.
it.each(process.env['CI'] === 'true' ? [ARMS[seedFromEnv() % 2]!] : ARMS)('%s', async (name, holder) => {
  await using dir = await tempDir('diptych-lab-');
  await using containers = await Containers.build(`${inject('panels').project}-lab`);
  const arm = await containers.arms(profile(), dir.path)(name, new AbortController().signal);
  const ownMs = containers.ownMs!;
  try {
    const before = await arm.usage();
    expect(before.memoryBytes).toBeGreaterThan(20e6);
    // Some hundred at a time: one processor cannot do that without being held back, at whatever speed it runs.
    await waitFor(
      async () => {
        await Promise.all(
          Array.from({ length: 300 }, async (_, n) =>
            (await fetch(`${arm.url}/v1/keys/${n}`, { method: 'PUT', body: 'x' })).body?.cancel(),
          ),
        );
        return (await arm.cpuMs())! - before.cpuMs! > 1_500;
      },
      { ...PATIENCE, what: 'it has used more than a second of processor time' },
    );
    // What is asked for often, and what the engine says.
    const often = await arm.cpuMs();
    expect((await arm.usage()).cpuMs).toBeGreaterThanOrEqual(often!);
    const injection = await arm.kill(holder);
    expect(injection).toEqual({ proof: expect.stringContaining('137') as string });
    await arm.restart(holder);
    await waitFor(async () => (await fetch(`${arm.url}/v1/keys/1`)).status === 200, { ...PATIENCE, what: 'what was written is there' });
    expect(await arm.cpuMs()).toBeGreaterThan(often!);
  } finally {
    await arm.stop();
  }
  // What they have used is no other program's.
  expect(containers.ownMs! - ownMs).toBeGreaterThan(1_500);
  if (name === 'monolith') return; // its only container was killed, and its account with it
  const { quotas } = containers;
  expect(readFileSync(`${dir.path}/quotas.jsonl`, 'utf8')).toBe(quotas.map((quota) => `${JSON.stringify(quota)}\n`).join(''));
  console.info(quotaFindings(quotas).join('\n'));
  expect(quotas.map(({ part }) => part)).toEqual(partsOf(name).filter((part) => part !== holder));
  expect(quotas.every(({ kept }) => kept)).toBe(true);
  expect(quotas.find(({ part }) => part === 'gateway')!.throttledPeriods).toBeGreaterThan(0);
});
