import { join } from 'node:path';
import { FaultProxy } from '@diptych/fault-proxy';
import { Arm, edgesWithCaches, profile, servicesWithCaches, waitFor, type ArmSpec } from '@diptych/testing';
import { interruption } from '../interruption.js';
import { assertBroker, describeRun } from '../manifest.js';
import { beginRunDirectory, writeWhole } from '../run-directory.js';
import { Clients, type Edge } from './clients.js';
import { playFaults, TIMELINE, TIMELINE_SECONDS, type Phase, type Played } from './faults.js';
import { judge, type Judgement } from './judge.js';

export interface StalenessOptions {
  readonly seed: number | undefined;
  readonly outDir: string | undefined;
  /** Default: all of them. */
  readonly way: WayId | undefined;
  /** How long each phase is, of what it usually is, in percent; default 100. */
  readonly scalePercent: number | undefined;
  /** What the caches are told, while answers are held against `MAX_STALE_MS`: more must be found out. Default: the same. */
  readonly cacheStaleMs: number | undefined;
}

export const WAY_IDS = ['edges', 'any', 'key'] as const;
export type WayId = (typeof WAY_IDS)[number];

interface Way {
  readonly id: WayId;
  readonly name: string;
  readonly spec: ArmSpec;
  readonly routing: 'any' | 'key';
  readonly victim: string;
  /** Whether each edge has a cache to itself, so that whom one asks is whom one is answered by. */
  readonly edgeIsCache: boolean;
}

/** The first is where staleness shows: a cache that is cut off from the log, and not from its readers. */
const WAYS: readonly Way[] = [
  { id: 'edges', name: '3 edges, each with a cache | log', spec: edgesWithCaches(3), routing: 'any', victim: 'edge-3', edgeIsCache: true },
  { id: 'any', name: 'gateway | 3 caches, any | log', spec: servicesWithCaches(3), routing: 'any', victim: 'cache-3', edgeIsCache: false },
  {
    id: 'key',
    name: 'gateway | 3 caches, by key | log',
    spec: servicesWithCaches(3),
    routing: 'key',
    victim: 'cache-3',
    edgeIsCache: false,
  },
];
const MAX_STALE_MS = 1_000;
const LOAD = { writers: 8, keysAWriter: 6, writerPauseMs: 20, readersAnEdge: 12, readerPauseMs: 25 } as const;

interface Row {
  readonly phase: string;
  readonly reads: number;
  readonly refused: number;
  readonly staleShare: number;
  /** Over all reads of the phase, in milliseconds; undefined without any. */
  readonly p50Ms: number | undefined;
  readonly p99Ms: number | undefined;
  readonly maxMs: number | undefined;
}

/** What the verdict is about. */
export interface Judged {
  readonly name: string;
  readonly edgeIsCache: boolean;
  /** Reads without a token that were not of the newest. */
  readonly stale: number;
  readonly violations: { readonly [Name in Exclude<keyof Judgement, 'staleMs' | 'undone'>]: number };
  /** Faults of which it is not known that they were there. */
  readonly unproven: readonly string[];
}

interface Result extends Omit<Way, 'spec'>, Judged {
  readonly rows: readonly Row[];
  readonly reads: number;
  readonly readsWithToken: number;
  readonly writes: number;
  readonly retired: number;
  /** Deletes that one had been shown and another was not, within the bound, which is allowed. */
  readonly undone: number;
  readonly proofs: readonly string[];
}

/**
 * How old reads can be when one of three caches is paused, cut off and given back, and whether what is promised regardless is kept: with a token nothing older
 * than it, nothing older than `maxStaleMs`, no delete that comes back where or when it may not.
 *
 * @returns 0 when it is kept, 1 when not, 2 when it cannot be said: interrupted, a fault that was not there, or none that made a read stale where it should
 */
export async function staleness(options: StalenessOptions): Promise<number> {
  assertBroker();
  const seed = options.seed ?? Math.floor(Math.random() * 1_000_000_000);
  const setting: Setting = { seed, scale: (options.scalePercent ?? 100) / 100, cacheStaleMs: options.cacheStaleMs ?? MAX_STALE_MS };
  const ways = WAYS.filter(({ id }) => options.way === undefined || id === options.way);
  const plan = {
    ways: ways.map(({ name, victim }) => ({ name, victim })),
    maxStaleMs: MAX_STALE_MS,
    load: LOAD,
    seconds: TIMELINE,
    ...setting,
  };
  const given = { way: options.way, scale: options.scalePercent, 'cache-stale-ms': options.cacheStaleMs };
  const more = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [` --${name} ${value}`]));
  const startedAt = new Date();
  const meta = describeRun({ command: 'lab -- staleness', seed, options: more.join(''), startedAt, profile: profile(), plan });
  const runDir = beginRunDirectory('staleness', options.outDir, meta, plan);
  using interrupt = interruption((line) => process.stderr.write(`${line}\n`));
  const seconds = Math.round(ways.length * (TIMELINE_SECONDS * setting.scale + 5));
  process.stderr.write(`seed ${seed}; about ${seconds} s; results go to ${runDir}\n`);
  const results: Result[] = [];
  let failed: string | undefined;
  try {
    for (const way of ways) {
      process.stderr.write(`${way.name} …\n`);
      results.push(await run(way, setting, interrupt.signal));
      printResult(results.at(-1)!);
    }
  } catch (error) {
    failed = interrupt.signal.aborted ? 'stopped by a signal' : error instanceof Error ? error.message : String(error);
  }
  const file = join(runDir, 'results.json');
  writeWhole(file, `${JSON.stringify({ format: 'lab-staleness/1', meta, maxStaleMs: MAX_STALE_MS, results, failed }, null, 1)}\n`);
  process.stdout.write(`\nresults  ${file}\n`);
  return verdict(results, failed);
}

interface Setting {
  readonly seed: number;
  readonly scale: number;
  readonly cacheStaleMs: number;
}

async function run(way: Way, { seed, scale, cacheStaleMs }: Setting, signal: AbortSignal): Promise<Result> {
  await using wires = new AsyncDisposableStack();
  const laid: FaultProxy[] = [];
  const wire = async (name: string, port: number) => {
    if (name !== way.victim) return undefined;
    laid[0] ??= wires.use(await FaultProxy.listen({ upstream: { host: '127.0.0.1', port } }));
    return laid[0].port;
  };
  await using arm = await Arm.start(way.spec, {
    variables: { DIPTYCH_CACHE_MAX_STALE_MS: String(cacheStaleMs), DIPTYCH_ROUTING_CACHE: way.routing },
    wire,
  });
  const edges: Edge[] = way.spec.processes
    .filter(({ parts }) => parts.includes('gateway'))
    .map(({ name }) => ({ name, url: arm.process(name).url }));
  await waitFor(async () => (await fetch(`${edges[0]!.url}/v1/keys/first`)).status === 404, {
    what: 'reads come through',
    timeoutMs: 60_000,
  });
  const clients = new Clients({ ...LOAD, edges, writeEdge: edges[0]!, seed });
  clients.start();
  let played: Played;
  try {
    // Caches that are told more than what they are held against should be found out.
    const oldEnoughMs = cacheStaleMs > MAX_STALE_MS ? MAX_STALE_MS : 0;
    const hasShown = () => !way.edgeIsCache || clients.oldestMs > oldEnoughMs;
    played = await playFaults(arm, { victim: way.victim, wire: laid[0]!, scale, hasShown }, signal);
  } finally {
    await clients.stop();
  }
  const { writes, reads, refusedMs, retired } = clients.history;
  const judgement = judge(writes, reads, { maxStaleMs: MAX_STALE_MS, edgeIsCache: way.edgeIsCache });
  const { unread, resurrected, undone, tooOld, phantoms } = judgement;
  const { spec: _, ...rest } = way;
  return {
    ...rest,
    rows: played.phases.map((phase) => rowOf(phase, reads, judgement.staleMs, refusedMs)),
    reads: reads.length,
    readsWithToken: reads.filter(({ token }) => token !== undefined).length,
    writes: writes.length,
    retired,
    stale: judgement.staleMs.filter((age, i) => age > 0 && reads[i]!.token === undefined).length,
    undone: undone.length,
    violations: { unread: unread.length, resurrected: resurrected.length, tooOld: tooOld.length, phantoms: phantoms.length },
    proofs: played.proofs,
    unproven: played.unproven,
  };
}

/** Reads without a token: with one they are never stale, which is counted by itself. */
function rowOf(
  phase: Phase,
  reads: ReadonlyArray<{ sentMs: number; token?: number | undefined }>,
  staleMs: readonly number[],
  refusedMs: readonly number[],
): Row {
  const isIn = (sentMs: number) => sentMs >= phase.startMs && sentMs < phase.endMs;
  const ages = staleMs.filter((_, i) => isIn(reads[i]!.sentMs) && reads[i]!.token === undefined).sort((a, b) => a - b);
  const at = (share: number) => ages[Math.min(ages.length - 1, Math.floor(ages.length * share))];
  return {
    phase: phase.name,
    reads: ages.length,
    refused: refusedMs.filter(isIn).length,
    staleShare: ages.length === 0 ? 0 : ages.filter((age) => age > 0).length / ages.length,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    maxMs: ages.at(-1),
  };
}

function printResult({ name, rows, reads, readsWithToken, writes, retired, violations, undone, unproven }: Result): void {
  const ms = (value: number | undefined) => (value === undefined ? '–' : value.toFixed(value < 10 ? 1 : 0)).padStart(8);
  const lines = rows.map(
    (row) =>
      `  ${row.phase.padEnd(20)}${String(row.reads).padStart(8)}${String(row.refused).padStart(9)}${(row.staleShare * 100).toFixed(2).padStart(9)} %${ms(row.p50Ms)}${ms(row.p99Ms)}${ms(row.maxMs)}`,
  );
  const { unread, resurrected, tooOld, phantoms } = violations;
  process.stdout.write(
    [
      `\n${name}; nothing may be older than ${MAX_STALE_MS} ms`,
      `  ${'without a token'.padEnd(20)}${'answered'.padStart(8)}${'refused'.padStart(9)}${'stale'.padStart(11)}${'p50 ms'.padStart(8)}${'p99 ms'.padStart(8)}${'max ms'.padStart(8)}`,
      ...lines,
      `  ${writes} writes, ${reads} reads, ${readsWithToken} of them with a token; ${retired} keys given up, as a write of theirs was left in doubt`,
      `  violations: ${unread} of read-your-writes with a token, ${resurrected} deletes that came back, ${tooOld} older than the bound, ${phantoms} that nobody wrote`,
      `  allowed: ${undone} reads of what another cache had already shown as deleted, all within the bound`,
      ...unproven.map((what) => `  not proven: ${what}`),
      '',
    ].join('\n'),
  );
}

/** @param failed why it came to no end @returns the exit code, having said why it is not 0 */
export function verdict(results: readonly Judged[], failed: string | undefined): number {
  const broken = results.some(({ violations }) => Object.values(violations).some((count) => count > 0));
  if (broken) {
    process.stdout.write('a promise was broken\n');
    return 1;
  }
  const doubts = results.flatMap(({ unproven, edgeIsCache, stale, name }) =>
    edgeIsCache && stale === 0 ? [...unproven, `no read was stale in ${name}, so nothing shows that it would have been noticed`] : unproven,
  );
  if (failed === undefined && doubts.length === 0) return 0;
  process.stdout.write(`cannot say: ${[failed, ...doubts].filter((doubt) => doubt !== undefined).join('; ')}\n`);
  return 2;
}
