/**
 * What a channel and a lock cost in one event loop.
 *
 * Goal: how many values a second pass a channel, compared with the bare array that it replaces where nobody waits; and whether
 * mutual exclusion is cheaper by a channel of one or by a chain of promises. Not a goal: figures that hold on another machine;
 * compare only within a run. Each contender is checked before it is timed, and the rounds take turns. Time is processor time of
 * this process, garbage collection included, because all of it runs in one thread and others may be busy on the machine.
 *
 *   npm run bench:channel [-- --rounds 9 --operations 200000]
 *
 * Prints medians and writes every round to `results/bench-channel/<time>.json`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { within } from './call-context.js';
import { Channel } from './channel.js';

/** Does `operations` operations and gives what must come out of them. */
type Contender = (operations: number) => Promise<number>;

const sumTo = (operations: number) => (operations * (operations - 1)) / 2;

async function throughChannel(operations: number, capacity: number, withContext: boolean): Promise<number> {
  const channel = new Channel<number>({ capacity });
  const context = withContext ? within(600_000) : undefined;
  const sending = (async () => {
    for (let value = 0; value < operations; value++) await channel.send(value, context);
    channel.close();
  })();
  let sum = 0;
  for (let result = await channel.receive(context); !result.done; result = await channel.receive(context)) sum += result.value;
  await sending;
  return sum;
}

/** A lock as a chain: each waits for the promise of the one before. */
class PromiseChainLock {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(section: () => Promise<T>): Promise<T> {
    const result = this.#last.then(section);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** A lock as a channel: whoever gets its one token in holds it. */
async function lockedByChannel(lock: Channel<true>, section: () => Promise<void>): Promise<void> {
  await lock.send(true);
  try {
    await section();
  } finally {
    lock.tryReceive();
  }
}

/** 100 tasks count together; each reads, waits a turn of promises, and writes: without a lock nearly all counts are lost. */
async function countTogether(operations: number, exclusively: (section: () => Promise<void>) => Promise<void>): Promise<number> {
  let count = 0;
  const section = async () => {
    const read = count;
    await Promise.resolve();
    count = read + 1;
  };
  const tasks = Array.from({ length: 100 }, async () => {
    for (let turn = 0; turn < operations / 100; turn++) await exclusively(section);
  });
  await Promise.all(tasks);
  return count;
}

const CONTENDERS: Record<string, { run: Contender; expected: (operations: number) => number }> = {
  'array: push and shift, nobody waits': {
    run: async (operations) => {
      const queue: number[] = [];
      let sum = 0;
      for (let value = 0; value < operations; value++) {
        queue.push(value);
        if (queue.length === 16) while (queue.length > 0) sum += queue.shift()!;
      }
      while (queue.length > 0) sum += queue.shift()!;
      return sum;
    },
    expected: sumTo,
  },
  'channel of 16: trySend and tryReceive': {
    run: async (operations) => {
      const channel = new Channel<number>({ capacity: 16 });
      let sum = 0;
      for (let value = 0; value < operations; value++) {
        channel.trySend(value);
        if (channel.length === 16) for (let next = channel.tryReceive(); next; next = channel.tryReceive()) sum += next.value;
      }
      for (let next = channel.tryReceive(); next; next = channel.tryReceive()) sum += next.value;
      return sum;
    },
    expected: sumTo,
  },
  'channel of 16: send and receive': { run: (operations) => throughChannel(operations, 16, false), expected: sumTo },
  'channel of 16: with a deadline': { run: (operations) => throughChannel(operations, 16, true), expected: sumTo },
  'channel of 0: rendezvous': { run: (operations) => throughChannel(operations, 0, false), expected: sumTo },
  'lock: chain of promises, 100 tasks': {
    run: (operations) => {
      const lock = new PromiseChainLock();
      return countTogether(operations, (section) => lock.run(section));
    },
    expected: (operations) => operations,
  },
  'lock: channel of 1, 100 tasks': {
    run: (operations) => {
      const lock = new Channel<true>({ capacity: 1 });
      return countTogether(operations, (section) => lockedByChannel(lock, section));
    },
    expected: (operations) => operations,
  },
};

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '9' }, operations: { type: 'string', default: '200000' } } });
const rounds = Number(values.rounds);
const operations = Math.ceil(Number(values.operations) / 100) * 100;

for (const [name, { run, expected }] of Object.entries(CONTENDERS)) {
  const result = await run(operations);
  if (result !== expected(operations)) throw new Error(`${name} gives ${result} instead of ${expected(operations)}; not timed`);
}

const perCpuSecond: Record<string, number[]> = Object.fromEntries(Object.keys(CONTENDERS).map((name) => [name, []]));
for (let round = 0; round < rounds; round++) {
  for (const [name, { run }] of Object.entries(CONTENDERS)) {
    const start = process.cpuUsage();
    await run(operations);
    const { user, system } = process.cpuUsage(start);
    perCpuSecond[name]!.push(Math.round((operations * 1e6) / (user + system)));
  }
}

const machine = {
  processor: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  node: process.version,
  platform: `${process.platform} ${process.arch}`,
};
console.info(
  `${machine.processor}, ${machine.cores} cores, Node ${machine.node}, ${machine.platform}; ${rounds} rounds of ${operations}\n`,
);
console.info('| operations per second of processor time | median | least | most |\n|---|---|---|---|');
for (const [name, figures] of Object.entries(perCpuSecond)) {
  const sorted = [...figures].sort((a, b) => a - b);
  const cells = [sorted[Math.floor(sorted.length / 2)]!, sorted[0]!, sorted.at(-1)!].map((figure) => figure.toLocaleString('en'));
  console.info(`| ${name} | ${cells.join(' | ')} |`);
}
const at = new Date().toISOString();
mkdirSync('results/bench-channel', { recursive: true });
const path = `results/bench-channel/${at.replaceAll(':', '-')}.json`;
writeFileSync(path, `${JSON.stringify({ at, machine, rounds, operations, perCpuSecond }, undefined, 2)}\n`);
console.info(`\nevery round: ${path}`);
