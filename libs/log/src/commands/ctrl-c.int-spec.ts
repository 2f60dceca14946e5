import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FROM_SOURCE, waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import { put, useLogs } from '../../test/log-fixture.js';

/*
 * Claim: Ctrl-C ends each command of the log's program soon, says so, and leaves nothing behind of what it was writing.
 *
 * Method: real processes, and a real SIGINT while the command is seen to be at work: a file of the log is open, or the backup's marker is there. One that was through before the signal came is run again.
 */
const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const MAIN = [...FROM_SOURCE, 'libs/log/src/commands/main.ts'];
const ATTEMPTS = 5;
const VALUES = 60;

const logs = useLogs();

it.skipIf(process.platform !== 'linux').each<{ command: string; isAtWork: (child: ChildProcess, target: string) => boolean }>([
  { command: 'verify', isAtWork: hasSegmentOpen },
  { command: 'dump', isAtWork: hasSegmentOpen },
  { command: 'backup', isAtWork: (_, target) => existsSync(join(target, 'backup.unfinished')) },
])('$command ends cleanly, and says so', { timeout: 240_000 }, async ({ command, isAtWork }) => {
  const log = await logs.open();
  await Promise.all(Array.from({ length: VALUES }, (_, i) => put(log, `k${i}`, new Uint8Array(1_000_000))));
  const directory = await logs.directory();
  const target = `${directory}-backup`;
  const args = [...MAIN, command, directory, ...(command === 'backup' ? [target] : [])];
  let code: number | null = 0;
  for (let attempt = 0; attempt < ATTEMPTS && code === 0; attempt++) {
    rmSync(target, { recursive: true, force: true });
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    await waitFor(() => child.exitCode !== null || isAtWork(child, target), { what: 'the command at work', timeoutMs: 60_000 });
    child.kill('SIGINT');
    code = await ended;
    expect(said).toBe(code === 0 ? '' : 'log: stopped; nothing was changed\n');
    if (code !== 0 && command === 'backup') expect(readdirSync(target)).toEqual([]);
  }
  expect(code).toBe(1);
});

function hasSegmentOpen({ pid }: ChildProcess): boolean {
  const descriptors = `/proc/${pid}/fd`;
  return readdirSync(descriptors).some((name) => {
    try {
      return readlinkSync(join(descriptors, name)).endsWith('.segment');
    } catch {
      // Closed since it was listed.
      return false;
    }
  });
}
