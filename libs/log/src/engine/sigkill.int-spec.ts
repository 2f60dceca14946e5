import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { FROM_SOURCE, seededRandom, seedFromEnv, waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import { soon, useLogs } from '../../test/log-fixture.js';

const logs = useLogs();
const WRITER = fileURLToPath(new URL('../../test/killed-writer.ts', import.meta.url));
const ROUNDS = 6;

interface Write {
  readonly key: string;
  readonly value: string;
  readonly revision: number;
  readonly requestId: string;
}

it(`keeps every acknowledged write through ${ROUNDS} SIGKILLs under load, and invents none`, async () => {
  const directory = await logs.directory();
  const random = seededRandom(seedFromEnv());
  const sent = new Set<string>();
  const acknowledged: Write[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await writeUntilKilled(directory, round, 1 + Math.floor(random() * 2_000), sent, acknowledged);
    const log = await logs.open();
    const newest = new Map<string, Write>();
    for (const write of acknowledged) if (write.revision > (newest.get(write.key)?.revision ?? 0)) newest.set(write.key, write);
    for (const [key, write] of newest) {
      const { entry } = await log.read({ key }, soon());
      const value = entry && new TextDecoder().decode(entry.value);
      // A later write that was sent and not acknowledged may be there instead; nothing older, nothing else.
      expect(entry!.revision).toBeGreaterThanOrEqual(write.revision);
      expect(sent.has(`${key} ${value}`), `${key} ${value} was sent`).toBe(true);
      if (entry!.revision === write.revision) expect(value).toBe(write.value);
    }
    const last = acknowledged.at(-1)!;
    const mutation = { kind: 'put', key: last.key, value: Buffer.from(last.value), contentType: 'text/plain' } as const;
    const repeat = await log.append({ mutation, requestId: last.requestId }, soon());
    expect(repeat.position.revision).toBe(last.revision);
    expect(new Set(acknowledged.map(({ revision }) => revision)).size).toBe(acknowledged.length);
    await log.close();
  }
  console.info(`${acknowledged.length} acknowledged writes, ${sent.size} sent; warnings: ${logs.warnings.length}`);
});

async function writeUntilKilled(
  directory: string,
  round: number,
  killAfter: number,
  sent: Set<string>,
  acknowledged: Write[],
): Promise<void> {
  const journal = `${directory}-journal-${round}`;
  const writer = spawn(process.execPath, [...FROM_SOURCE, WRITER, directory, journal, String(round)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exit = new Promise((resolve) => writer.once('exit', (code, signal) => resolve(signal ?? code)));
  const acknowledgements = () => readFileSync(journal, 'latin1').split('\nacknowledged').length - 1;
  await waitFor(() => writer.exitCode !== null || acknowledgements() >= killAfter, {
    timeoutMs: 25_000,
    what: `${killAfter} acknowledged writes`,
  });
  writer.kill('SIGKILL');
  expect(await exit).toBe('SIGKILL');
  for (const line of readFileSync(journal, 'latin1').split('\n')) {
    const [what, key, value, revision, requestId] = line.split(' ');
    if (what === 'sent') sent.add(`${key} ${value}`);
    if (what === 'acknowledged') acknowledged.push({ key: key!, value: value!, revision: Number(revision), requestId: requestId! });
  }
}
