/**
 * The examples of docs/channels-and-locks.md, so that the page stays true.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Channel } from './channel.js';

describe('a read and a write with an await between them', () => {
  /** 100 tasks add 1 each; between reading and writing each waits a turn, as it would for a disk or a service. */
  async function countTogether(exclusively: (section: () => Promise<void>) => Promise<void>): Promise<number> {
    let count = 0;
    const addOne = async () => {
      const read = count;
      await new Promise((resolve) => setImmediate(resolve));
      count = read + 1;
    };
    await Promise.all(Array.from({ length: 100 }, () => exclusively(addOne)));
    return count;
  }

  it('loses updates without a lock, though there is one thread only', async () => {
    expect(await countTogether((section) => section())).toBe(1);
  });

  it('loses none behind a chain of promises', async () => {
    let last = Promise.resolve();
    expect(await countTogether((section) => (last = last.then(section)))).toBe(100);
  });

  it('loses none behind a channel of one', async () => {
    const lock = new Channel<true>({ capacity: 1 });
    const exclusively = async (section: () => Promise<void>) => {
      await lock.send(true);
      try {
        await section();
      } finally {
        lock.tryReceive();
      }
    };
    expect(await countTogether(exclusively)).toBe(100);
  });

  it('needs no lock when one task owns the count and the others send to it', async () => {
    const additions = new Channel<number>({ capacity: 16 });
    let count = 0;
    const owner = (async () => {
      for await (const addition of additions) {
        const read = count;
        await new Promise((resolve) => setImmediate(resolve));
        count = read + addition;
      }
    })();
    await Promise.all(Array.from({ length: 100 }, () => additions.send(1)));
    additions.close();
    await owner;
    expect(count).toBe(100);
  });
});

it('threads that share memory count right with Atomics', async () => {
  const count = new Int32Array(new SharedArrayBuffer(4));
  const addMany = `const { workerData } = require('node:worker_threads');
    for (let turn = 0; turn < 100_000; turn++) Atomics.add(workerData, 0, 1);`;
  const threads = [1, 2].map(() => new Worker(addMany, { eval: true, workerData: count }));
  await Promise.all(threads.map((thread) => once(thread, 'exit')));
  expect(Atomics.load(count, 0)).toBe(200_000);
});

it('a crash loses what a buffered channel has acknowledged and nobody has taken', async () => {
  const kernel = fileURLToPath(new URL('./index.ts', import.meta.url));
  const program = `import { writeSync } from 'node:fs';
    import { Channel } from ${JSON.stringify(kernel)};
    const channel = new Channel({ capacity: 16 });
    for (let value = 1; value <= 10; value++) { await channel.send(value); writeSync(1, 'acknowledged\\n'); }
    for (let count = 0; count < 3; count++) { await channel.receive(); writeSync(1, 'written\\n'); }
    process.kill(process.pid, 'SIGKILL');`;
  const child = spawn(process.execPath, ['--conditions=@diptych/source', '--import', 'tsx', '--input-type=module', '-e', program]);
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += String(data)));
  const [, signal] = (await once(child, 'close')) as [number | null, string | null];
  const lines = output.trim().split('\n');
  expect(signal).toBe('SIGKILL');
  expect([lines.filter((line) => line === 'acknowledged').length, lines.filter((line) => line === 'written').length]).toEqual([10, 3]);
});
