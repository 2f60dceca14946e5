import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { assertNoLeaks, FROM_SOURCE, leakedSince, openHandles, startProcess, tempDir, waitFor } from './index.js';

const node = (script: string) => ({ command: process.execPath, args: ['-e', script], name: 'child' });

describe('startProcess', () => {
  it('waits until a pattern is written, keeps the output, and stops with SIGTERM', async () => {
    await using child = await startProcess({
      ...node(`process.on('SIGTERM', () => process.exit(7)); setInterval(() => {}, 1000); console.error('re' + 'ady')`),
      ready: /ready/,
    });
    expect(child.stderr).toContain('ready');
    expect(child.exit).toBeUndefined();
    expect(await child.stop()).toEqual({ code: 7, signal: null });
    expect(await child.stop()).toEqual({ code: 7, signal: null });
  });

  it('says why when the child exits before it is ready', async () => {
    await expect(startProcess({ ...node(`console.error('no disk'); process.exit(2)`), ready: /never/ })).rejects.toThrow(
      /child exited \(code 2, signal null\) before it was ready; its output ends with:\nno disk/,
    );
  });

  it('says so when there is no such program', async () => {
    await expect(startProcess({ command: 'diptych-no-such-program' })).rejects.toThrow(/could not be started: .*ENOENT/);
  });

  it('kills a child that is not ready in time', async () => {
    const before = openHandles();
    await expect(startProcess({ ...node(`setInterval(() => {}, 1000)`), ready: /never/, readyTimeoutMs: 50 })).rejects.toThrow(
      /was not ready within 50 ms/,
    );
    await assertNoLeaks(before);
  });

  it('kills what ignores SIGTERM, and what is stopped', async () => {
    await using child = await startProcess({
      ...node(`process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); console.log('up')`),
      ready: /up/,
    });
    expect(await child.stop(50)).toEqual({ code: null, signal: 'SIGKILL' });
    await using frozen = await startProcess({ ...node(`setInterval(() => {}, 1000); console.log('up')`), ready: /up/ });
    await frozen.kill('SIGSTOP');
    expect(await frozen.stop()).toEqual({ code: null, signal: 'SIGTERM' });
  });

  it('keeps only the newest output', async () => {
    await using child = await startProcess({ ...node(`console.log('x'.repeat(100000)); console.log('end')`), outputCharsMax: 100 });
    await child.exited;
    expect(child.stdout.length).toBe(100);
    expect(child.stdout).toMatch(/x\nend\n$/);
  });
});

describe('waitFor', () => {
  it('gives back what came true', async () => {
    let turns = 0;
    expect(await waitFor(() => ++turns === 3 && 'done')).toBe('done');
  });

  it('counts an error as not yet, and shows it when time runs out', async () => {
    const failing = waitFor(
      () => {
        throw new Error('refused');
      },
      { timeoutMs: 20, what: 'the port' },
    );
    await expect(failing).rejects.toMatchObject({ message: 'the port did not come true within 20 ms', cause: new Error('refused') });
  });
});

it('tempDir makes a directory and removes it', async () => {
  let path: string;
  {
    await using dir = await tempDir();
    path = dir.path;
    expect(existsSync(path)).toBe(true);
  }
  expect(existsSync(path)).toBe(false);
});

it('kills and removes what a runner left behind when it was killed itself', async () => {
  const child = `setInterval(() => {}, 1000)`;
  const runner = await startProcess({
    command: process.execPath,
    args: [...FROM_SOURCE, '--input-type=module', '-e', LEAKY, child],
    cwd: new URL('..', import.meta.url).pathname,
    env: { ...process.env, TSX_TSCONFIG_PATH: new URL('../../../tsconfig.base.json', import.meta.url).pathname },
    name: 'runner',
    ready: /left/,
  });
  const { pid, path } = JSON.parse(runner.stdout.split('left ')[1]!) as { pid: number; path: string };
  expect([isRunning(pid), existsSync(path)]).toEqual([true, true]);
  await runner.kill();
  await waitFor(() => !isRunning(pid) && !existsSync(path));
});

const LEAKY = `
  const { startProcess, tempDir } = await import('./src/index.ts');
  const { pid } = await startProcess({ command: process.execPath, args: ['-e', process.argv[1]] });
  const { path } = await tempDir();
  console.log('left ' + JSON.stringify({ pid, path }));
`;

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

it('openHandles notices a server that was left listening', async () => {
  const before = openHandles();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  expect(leakedSince(before)).toEqual(['TCPServerWrap: 1 more']);
  await expect(assertNoLeaks(before, { timeoutMs: 20 })).rejects.toThrow(/left open after 20 ms: TCPServerWrap: 1 more/);
  server.close();
  await assertNoLeaks(before);
});
