import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { commands } from './commands.mjs';
import { withLock } from './lock.mjs';
import { findNatsServer } from './nats-server.mjs';
import { packagesAreCurrent } from './packages.mjs';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'diptych-setup-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('whether the packages are current', () => {
  const entry = { version: '1.0.0', integrity: 'sha512-x' };
  const wanted = {
    '': {},
    'libs/a': { version: '0.0.0' },
    'node_modules/@diptych/a': { resolved: 'libs/a', link: true },
    'node_modules/b': entry,
    'node_modules/only-elsewhere': { ...entry, optional: true },
  };
  const installed = { 'node_modules/@diptych/a': { resolved: 'libs/a', link: true }, 'node_modules/b': entry };
  const current = (found: object | undefined) => {
    mkdirSync(join(folder, 'node_modules'));
    writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages: wanted }));
    if (found) writeFileSync(join(folder, 'node_modules/.package-lock.json'), JSON.stringify({ packages: found }));
    return packagesAreCurrent(folder);
  };

  it('yes, when all are there but what is for another platform', () => expect(current(installed)).toBe(true));
  it('no, when nothing is, or an install was interrupted', () => expect(current(undefined)).toBe(false));
  it('no, when one has another version', () =>
    expect(current({ ...installed, 'node_modules/b': { ...entry, version: '1.0.1' } })).toBe(false));
  it('no, when one is missing', () => expect(current({ 'node_modules/b': entry })).toBe(false));
  it('says what to do when the lock file is damaged', () => {
    writeFileSync(join(folder, 'package-lock.json'), '{');
    expect(() => packagesAreCurrent(folder)).toThrow('package-lock.json is missing or damaged: restore it from git.');
  });
});

describe('the lock', () => {
  it('lets one in at a time, and tells the others that they wait', async () => {
    let inside = 0;
    let most = 0;
    let waited = 0;
    const work = async () => {
      most = Math.max(most, ++inside);
      await new Promise((done) => setImmediate(done));
      inside--;
    };
    await Promise.all(Array.from({ length: 8 }, () => withLock(folder, () => waited++, work)));
    expect([most, inside]).toEqual([1, 0]);
    expect(waited).toBeGreaterThan(0);
  });

  it('is given back by an error', async () => {
    await expect(
      withLock(
        folder,
        () => {},
        () => Promise.reject(new Error('failed')),
      ),
    ).rejects.toThrow('failed');
    expect(
      await withLock(
        folder,
        () => {},
        () => Promise.resolve('mine'),
      ),
    ).toBe('mine');
  });

  it('is given back by a process that is killed', async () => {
    const source = `import { withLock } from '${resolve('tools/setup/lock.mjs')}';
      await withLock('${folder}', () => {}, () => new Promise(() => { console.log('held'); setTimeout(() => {}, 1e6); }));`;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(holder.stdout, 'data');
    const mine = withLock(
      folder,
      () => holder.kill('SIGKILL'),
      () => Promise.resolve('mine'),
    );
    expect(await mine).toBe('mine');
  });
});

describe('the command in front', () => {
  it('gets a signal once, however often it arrives, and its exit code is passed on', async () => {
    const command = `let n = 0; process.on('SIGINT', () => { n++; setTimeout(() => process.exit(40 + n), 200); }); setInterval(() => {}, 1e6); console.log('up');`;
    const front = inFront(command);
    await front.line('up');
    front.child.kill('SIGINT');
    await front.line('seen');
    front.child.kill('SIGINT');
    expect(await front.exit).toBe(41);
  });

  it('leaves nothing behind', async () => {
    const command = `require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'inherit' }); process.exit(0);`;
    // The end of its output is the end of the last process that could write there.
    const front = inFront(command);
    expect(await front.exit).toBe(0);
    expect(await front.line('leftovers')).toBe('leftovers 1');
  });

  // Npm waits for a shell that waits for this: ended by SIGTERM it takes the shell with it, killed it does not.
  it.runIf(process.platform === 'linux').each(['the shell', 'what started the shell'])('is ended when %s is killed', async (killed) => {
    const command = `process.on('SIGTERM', () => { console.log('told'); process.exit(0); }); setInterval(() => {}, 1e6); console.log('up');`;
    const shell = `"$NODE" --input-type=module -e "$SOURCE"; true`;
    const npm = `const shell = require('node:child_process').spawn('sh', ['-c', ${JSON.stringify(shell)}], { stdio: 'inherit' }); console.log('shell ' + shell.pid); setInterval(() => {}, 1e6);`;
    const env = { ...process.env, npm_lifecycle_event: 'compare', NODE: process.execPath, SOURCE: sourceOf(command) };
    const child = spawn(process.execPath, ['-e', npm], { env, stdio: ['ignore', 'pipe', 'ignore'] });
    const line = lines(child);
    try {
      const shellPid = Number((await line('shell')).split(' ')[1]);
      await line('up');
      process.kill(killed === 'the shell' ? shellPid : child.pid!, 'SIGKILL');
      await line('told');
      await line('leftovers');
    } finally {
      child.kill('SIGKILL');
    }
  });

  function sourceOf(command: string) {
    return `import { runInForeground } from '${resolve('tools/setup/processes.mjs')}';
      process.on('SIGINT', () => console.log('seen'));
      const { status, leftovers } = await runInForeground(process.execPath, ['-e', ${JSON.stringify(command)}], process.env);
      console.log('leftovers ' + leftovers);
      process.exitCode = status;`;
  }

  function inFront(command: string) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', sourceOf(command)], { stdio: ['ignore', 'pipe', 'ignore'] });
    return { child, exit: once(child, 'close').then(([code]) => code as number), line: lines(child) };
  }

  function lines(child: ChildProcess) {
    const seen: string[] = [];
    const reader = createInterface({ input: child.stdout! });
    reader.on('line', (line) => seen.push(line));
    return async (start: string): Promise<string> => {
      for (;;) {
        const found = seen.find((line) => line.startsWith(start));
        if (found) return found;
        await once(reader, 'line');
      }
    };
  }
});

describe('what set-up says', () => {
  it('about a DIPTYCH_NATS_SERVER that is none', async () => {
    const before = process.env.DIPTYCH_NATS_SERVER;
    process.env.DIPTYCH_NATS_SERVER = '/no/such/nats-server';
    await expect(findNatsServer(folder)).rejects.toThrow(
      'DIPTYCH_NATS_SERVER names /no/such/nats-server, which does not run as a nats-server',
    );
    if (before === undefined) delete process.env.DIPTYCH_NATS_SERVER;
    else process.env.DIPTYCH_NATS_SERVER = before;
  });
  it('about a command that it does not know', () => {
    const { status, stderr } = spawnSync(process.execPath, ['tools/setup/run.mjs', 'tset'], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([2, expect.stringContaining('There is no command "tset". There are:')]);
  });
  it('has an npm script for each of its commands', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));
    expect(scripts).toEqual(Object.fromEntries(Object.keys(commands).map((name) => [name, `node tools/setup/run.mjs ${name}`])));
  });
});
