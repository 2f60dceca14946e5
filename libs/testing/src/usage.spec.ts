import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { memoryOf, usageOf } from './usage.js';

const mapping = (file: string, rssKib: number, anonymousKib: number) =>
  `7f00-7f10 r-xp 00001000 ${file}  /some/file\nSize: 99 kB\nRss:       ${rssKib} kB\nPss:       1 kB\nAnonymous:    ${anonymousKib} kB\nVmFlags: rd ex\n`;

it('tells what is a process’s own from the pages of each file, and does not ask who else maps them', () => {
  const memory = memoryOf(
    mapping('08:01 42', 100, 10) + mapping('08:01 42', 50, 50) + mapping('08:01 7', 8, 0) + mapping('00:00 0', 30, 30),
  );
  expect(memory).toEqual({
    rssBytes: 188 * 1024,
    anonymousBytes: 90 * 1024,
    filesBytes: new Map([
      ['08:01 42', 90 * 1024],
      ['08:01 7', 8 * 1024],
    ]),
  });
});

it.runIf(process.platform === 'linux')('counts the pages of a binary once, however many processes of ours run it', async () => {
  const children = [0, 1].map(() =>
    spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1000)'], { stdio: ['ignore', 'pipe', 'ignore'] }),
  );
  try {
    await Promise.all(children.map((child) => once(child.stdout, 'data')));
    const [one, other, both] = [[children[0]!.pid!], [children[1]!.pid!], children.map((child) => child.pid!)].map((pids) => usageOf(pids));
    expect(both!.rssBytes).toBeGreaterThan(both!.memoryBytes!);
    expect(both!.memoryBytes).toBeLessThan(one!.memoryBytes! + other!.memoryBytes!);
    expect(both!.memoryBytes).toBeGreaterThan(Math.max(one!.memoryBytes!, other!.memoryBytes!));
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
});
