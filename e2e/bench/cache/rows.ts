import type { Check, Row } from '../messaging/rows/rows.js';
import type { ProgramName } from './arm-main.js';
import type { Pattern } from './arms/hit-ratios.js';

export const ROW_IDS = ['get', 'add', 'mixed', 'stages', 'threads', 'zipf', 'scan', 'hot', 'spill', 'http', 'crossing'] as const;
export type RowId = (typeof ROW_IDS)[number];

export interface CacheRow extends Row<RowId> {
  /** Each measures one arm of the row or several. */
  readonly jobs: readonly Job[];
}

interface Job {
  readonly program: ProgramName;
  readonly parameters: object;
}

const rate = { figure: 'opsPerSecond', title: 'ops/s', digits: 0 };
const hits = { figure: 'hitPercent', title: 'hits %', digits: 2 };
const arms = { lru: 'lru-cache', own: 'LruCache', shared: 'SharedLruCache, 64 shards', shared1: 'SharedLruCache, 1 shard' };

/** Arms of one thread, each in a process of its own. */
function oneThread(work: 'get' | 'add' | 'mixed', names: ReadonlyArray<keyof typeof arms>): Pick<CacheRow, 'arms' | 'columns' | 'jobs'> {
  return {
    arms: Object.fromEntries(names.map((name) => [name, arms[name]])),
    columns: [rate],
    jobs: names.map((arm) => ({ program: 'one-thread', parameters: { arm, work } })),
  };
}

function ratio(text: string, above: string, below: string, bar: { atLeast?: number } = {}): Check {
  return { text, ...bar, of: (figureOf) => figureOf(above, 'opsPerSecond') / figureOf(below, 'opsPerSecond') };
}

/** Points between the hit ratios of two arms, in percent of all look-ups. */
function points(text: string, one: string, other: string, bar: { atMost?: number } = {}): Check {
  return { text, ...bar, of: (figureOf) => Math.abs(figureOf(one, 'hitPercent') - figureOf(other, 'hitPercent')) };
}

const hitRatio = (pattern: Pattern, idealAtLeast: number): Pick<CacheRow, 'arms' | 'columns' | 'checks' | 'jobs'> => ({
  arms: {
    own: 'LruCache',
    ideal: 'ideal LRU',
    shared: 'SharedLruCache, 64 shards',
    idealSharded: 'ideal LRU in the same 64 shards',
  },
  columns: [hits],
  checks: [
    points('LruCache and an ideal LRU, points apart', 'own', 'ideal', { atMost: 1 }),
    points('SharedLruCache and an ideal LRU sharded alike, points apart', 'shared', 'idealSharded', { atMost: 1 }),
    points('what the shards cost, points', 'shared', 'ideal'),
    // Where there is nothing to hit, to be as good as an ideal LRU says little.
    { text: 'ideal LRU, hits %', atLeast: idealAtLeast, of: (figureOf) => figureOf('ideal', 'hitPercent') },
  ],
  jobs: [{ program: 'hit-ratios', parameters: { pattern } }],
});

/** The rows of the benchmark with their bars. Raise a bar that is beaten. */
export const ROWS: readonly CacheRow[] = [
  {
    id: 'get',
    title: 'get, one thread, 100,000 entries, all held',
    ...oneThread('get', ['lru', 'own']),
    checks: [ratio('LruCache / lru-cache', 'own', 'lru', { atLeast: 0.9 })],
  },
  {
    id: 'add',
    title: 'add, one thread, 200,000 keys into room for 100,000',
    ...oneThread('add', ['lru', 'own']),
    checks: [ratio('LruCache / lru-cache', 'own', 'lru', { atLeast: 0.9 })],
  },
  {
    id: 'mixed',
    title: '95 get and 5 add, one thread, 256-byte values; SharedLruCache copies them in and out, the others hand over a reference',
    ...oneThread('mixed', ['lru', 'own', 'shared', 'shared1']),
    checks: [ratio('SharedLruCache / lru-cache', 'shared', 'lru', { atLeast: 0.4 }), ratio('LruCache / lru-cache', 'own', 'lru')],
  },
  {
    id: 'stages',
    title:
      'where the time of a look-up in SharedLruCache goes, 64 shards, 256-byte values; each line does what those above it do, and one thing more',
    arms: {
      hash: 'the key is read and hashed',
      lock: 'and the lock of its shard taken and let go of',
      find: 'and its entry found, the key compared',
      copy: 'and the value copied',
      get: 'and made the most recently used',
    },
    columns: [
      { figure: 'fewNs', title: 'ns, 2,000 entries', digits: 0 },
      { figure: 'manyNs', title: 'ns, 100,000 entries', digits: 0 },
    ],
    checks: [
      {
        text: 'of a look-up, what is done before the lock',
        of: (figureOf) => figureOf('hash', 'manyNs') / figureOf('get', 'manyNs'),
      },
    ],
    jobs: [{ program: 'stages', parameters: {} }],
  },
  {
    id: 'threads',
    title: '95 get and 5 add by threads, SharedLruCache, 256-byte values',
    arms: {
      one: 'one thread, 64 shards',
      independent: 'two threads, a cache each',
      shards64: 'two threads, one cache of 64 shards',
      shards1: 'two threads, one cache of 1 shard',
    },
    columns: [rate],
    checks: [
      {
        text: 'speed-up by a second thread, 64 shards / independent',
        atLeast: 0.7,
        of: (figureOf) => figureOf('shards64', 'speedUp') / figureOf('independent', 'speedUp'),
      },
      ratio('64 shards / 1 shard', 'shards64', 'shards1', { atLeast: 1.8 }),
      { text: 'speed-up by a second thread, independent', of: (figureOf) => figureOf('independent', 'speedUp') },
      ratio('1 shard / one thread', 'shards1', 'one'),
    ],
    jobs: [{ program: 'threads', parameters: {} }],
  },
  { id: 'zipf', title: 'hit ratio, zipf 0.99 over ten times as many keys as there is room', ...hitRatio('zipf', 60) },
  { id: 'scan', title: 'hit ratio, a loop over twice as many keys as there is room', ...hitRatio('scan', 0) },
  { id: 'hot', title: 'hit ratio, that loop at every other look-up, between them 1,000 keys at random', ...hitRatio('hot', 45) },
  {
    id: 'spill',
    title: '20,000 values of 4 KiB, zipf 0.99: all in memory, a tenth in memory, a tenth in memory and the rest spilled to disk',
    arms: { memory: 'all in memory', spill: 'a tenth, spilling', small: 'a tenth' },
    columns: [
      { figure: 'memoryMb', title: 'MB held', digits: 1 },
      { figure: 'diskMb', title: 'MB on disk', digits: 1 },
      hits,
      { figure: 'fromDiskPercent', title: 'of them from disk %', digits: 1 },
      { figure: 'meanUs', title: 'mean µs', digits: 1 },
      { figure: 'p50Us', title: 'p50 µs', digits: 1 },
      { figure: 'p99Us', title: 'p99 µs', digits: 1 },
    ],
    checks: [
      { text: 'memory: spilling / all in memory', of: (figureOf) => figureOf('spill', 'memoryMb') / figureOf('memory', 'memoryMb') },
      { text: 'mean µs a look-up: what spilling adds', of: (figureOf) => figureOf('spill', 'meanUs') - figureOf('memory', 'meanUs') },
      {
        text: 'hit ratio: what spilling adds to a tenth, points',
        of: (figureOf) => figureOf('spill', 'hitPercent') - figureOf('small', 'hitPercent'),
      },
    ],
    jobs: ['memory', 'spill', 'small'].map((arm) => ({ program: 'spill', parameters: { arm } })),
  },
  {
    id: 'http',
    title: 'a cached GET of 256 bytes over HTTP, 64 connections, the load generator on the same cores',
    arms: { monolith: 'monolith', 'monolith-threads': 'monolith-threads, 2 threads' },
    columns: [
      { figure: 'requestsPerSecond', title: 'requests/s', digits: 0 },
      { figure: 'cpuUsPerRequest', title: 'CPU µs/request', digits: 1 },
      { figure: 'p99Us', title: 'p99 µs', digits: 0 },
    ],
    checks: [
      {
        text: 'requests/s: monolith-threads / monolith',
        atLeast: 1.3,
        of: (figureOf) => figureOf('monolith-threads', 'requestsPerSecond') / figureOf('monolith', 'requestsPerSecond'),
      },
    ],
    jobs: [{ program: 'http', parameters: {} }],
  },
  {
    id: 'crossing',
    title: 'a reply of the log with 256 bytes, from one thread to another',
    arms: {
      clone1: 'structured clone, one a message',
      codec1: 'encoded, one a message',
      clone16: 'structured clone, sixteen a message',
      codec16: 'encoded, sixteen a message',
    },
    columns: [{ figure: 'cpuUsPerReply', title: 'CPU µs/reply', digits: 2 }],
    checks: [1, 16].map((each) => ({
      text: `CPU µs/reply: structured clone / encoded, ${each} a message`,
      of: (figureOf) => figureOf(`clone${each}`, 'cpuUsPerReply') / figureOf(`codec${each}`, 'cpuUsPerReply'),
    })),
    jobs: [{ program: 'crossing', parameters: {} }],
  },
];
