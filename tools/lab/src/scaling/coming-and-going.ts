import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGunzip } from 'node:zlib';
import { systemClock } from '@diptych/kernel';
import { profile, waitFor } from '@diptych/testing';
import { checkDurability, httpReader, type DurabilityFinding, type HistoryLine } from '../durability.js';
import { fill, keysOf } from '../load/fill.js';
import type { KeySpec } from '../load/keys.js';
import { runLoad } from '../load/run-load.js';
import type { LoadPlan, Stream } from '../load/schedule.js';
import type { LoadResult } from '../load/summary.js';
import { BALANCER_BOUNDS } from './balancer.js';
import { OBJECTIVE } from './capacity.js';
import { crashesOf, SCALED_ARMS, type ScaledArmName } from './fleet.js';
import { ProcessFleet, type ProcessInstance } from './process-fleet.js';
import type { ScalingLab } from './scaling-lab.js';

const KEYS: KeySpec = { kind: 'uniform', prefix: 'entry', count: 1_000 };
const STREAMS: readonly Stream[] = [
  { capability: 'hit', share: 60, keys: KEYS },
  { capability: 'put', share: 40, keys: KEYS },
];

/** A request is lost when it has no right answer within five seconds: this is about loss, and not about the objective. */
export const COMING_AND_GOING = {
  arms: ['monolith-replicas', 'services-scaled'],
  cycles: 20,
  instances: 3,
  ratePerSecond: 150,
  timeoutMs: 5_000,
  valueBytes: 512,
  secondsBefore: 5,
  secondsAfter: 12,
  streams: STREAMS,
  balancer: BALANCER_BOUNDS,
} as const;

/** What happens to an arm under load, in words, and for about how many seconds. A frozen process takes connections and answers nothing. */
export const CAUSES = {
  cycles: { words: `${COMING_AND_GOING.cycles} cycles out and in`, seconds: 240 },
  kill: { words: 'one of three killed', seconds: 40 },
  freeze: { words: 'one of three frozen', seconds: 40 },
} as const;

/** What became of an arm's requests and writes meanwhile. */
export interface Comings {
  readonly what: keyof typeof CAUSES;
  readonly arm: ScaledArmName;
  readonly cycles: number;
  readonly offered: number;
  readonly good: number;
  readonly outcomes: LoadResult['outcomes'];
  readonly durability: DurabilityFinding;
  readonly series: LoadResult['series'];
  /** Of cycles: every coming and going. */
  readonly moves?: readonly Move[] | undefined;
  /** Requests without a right answer that were under way while an instance came or went, and all others. */
  readonly missed?: { readonly moving: number; readonly between: number } | undefined;
  readonly strike?: Strike | undefined;
  /** Instances that ended without being told to, in words; the one that was killed is none of them. */
  readonly ended: readonly string[];
  /** What was wrong with the machine meanwhile; undefined: nothing. */
  readonly disturbed: string | undefined;
}

/** An instance that came, until it took requests, or went, until it had ended; in milliseconds of the load's schedule. */
export interface Move {
  readonly name: string;
  readonly kind: 'in' | 'out';
  readonly fromMs: number;
  readonly toMs: number;
}

/** One of the instances was killed or frozen. */
export interface Strike {
  readonly proof: string;
  /** From then to the last request that had no right answer, in milliseconds of its scheduled moment; by key, reads of keys that only the one that was struck knew are left out. */
  readonly recoveryMs: number;
  /** The same to the last that had none within the deadline of the objective. */
  readonly slowUntilMs: number;
  /** Under way at that moment, or sent later. */
  readonly bad: number;
  /** Those that had ended before, and so are nothing of the strike's. */
  readonly badBefore: number;
  readonly absentReads: number;
  /** Requests of each survivor, against an equal share. */
  readonly shares: Readonly<Record<string, number>>;
}

export async function comingAndGoing(lab: ScalingLab): Promise<Comings[]> {
  const done: Comings[] = [];
  for (const arm of COMING_AND_GOING.arms)
    for (const what of Object.keys(CAUSES) as Array<Comings['what']>) {
      lab.signal.throwIfAborted();
      lab.progress.step(`${arm}: ${CAUSES[what].words}`, CAUSES[what].seconds);
      const { measured, disturbed } = await lab.watched(() => underLoad(lab, arm, what));
      done.push({ ...measured, disturbed });
      lab.keep(done);
    }
  return done;
}

export const COMING_AND_GOING_SECONDS = 2 * (CAUSES.cycles.seconds + CAUSES.kill.seconds + CAUSES.freeze.seconds);

async function underLoad(lab: ScalingLab, arm: ScaledArmName, what: Comings['what']): Promise<Omit<Comings, 'disturbed'>> {
  const { edge } = SCALED_ARMS[arm];
  const { instances, ratePerSecond, timeoutMs, valueBytes } = COMING_AND_GOING;
  await using fleet = await ProcessFleet.start(arm, { [edge]: instances, cache: 2 });
  await fill(fleet.url, [KEYS], valueBytes, lab.signal);
  fleet.hold();
  const historyFile = join(lab.runDir, 'history', `${what}-${arm}.jsonl.gz`);
  // As long as the longest that its cause may take; what causes it ends it.
  const seconds = what === 'cycles' ? 900 : 120;
  const plan: LoadPlan = {
    id: what,
    baseUrl: fleet.url,
    seed: lab.seed,
    seconds,
    ratePerSecond,
    streams: STREAMS,
    valueBytes,
    timeoutMs,
    connections: 512,
    mode: 'open',
    historyFile,
  };
  const over = new AbortController();
  const loadOver = new AbortController();
  const { promise: sending, resolve: begin } = Promise.withResolvers<void>();
  const loading = runLoad(plan, {
    cores: profile().generator,
    signal: lab.signal,
    enough: over.signal,
    onPhase: (phase) => phase === 'sending' && begin(),
  }).finally(() => {
    // What happens without load proves nothing.
    if (!over.signal.aborted) loadOver.abort(new Error(`the load was over after ${seconds} s, before ${CAUSES[what].words} were done`));
    begin();
  });
  const signal = AbortSignal.any([lab.signal, loadOver.signal]);
  const causing = sending
    .then((): Promise<Struck | Cycled> => (what === 'cycles' ? cycle({ ...lab, signal }, fleet) : strike(signal, fleet, what)))
    .finally(() => over.abort());
  const [loaded, caused] = await Promise.allSettled([loading, causing]);
  if (loaded.status === 'rejected') throw loaded.reason;
  if (caused.status === 'rejected') throw caused.reason;
  lab.signal.throwIfAborted();
  const load = loaded.value;
  const history = await linesOf(historyFile);
  const reader = httpReader(fleet.url, lab.signal);
  const durability = await checkDurability(history, keysOf([KEYS]), reader.finalStateOf).finally(() => reader.close());
  return {
    what,
    arm,
    cycles: 'moves' in caused.value ? COMING_AND_GOING.cycles : 0,
    offered: load.offered,
    good: load.good,
    outcomes: load.outcomes,
    durability,
    ended: crashesOf(fleet),
    series: load.series.filter(({ offered }) => Object.keys(offered).length > 0),
    ...('moves' in caused.value && movesOf(caused.value, history, load.startedWallMs)),
    ...('proof' in caused.value && {
      strike: strikeOf(caused.value, history, load.startedWallMs, SCALED_ARMS[arm].spreading === 'by key'),
    }),
  };
}

/** Out by one and in by one, twenty times; of the services gateways and caches in turn. The oldest goes, so that in the end all have been replaced. */
async function cycle(lab: ScalingLab, fleet: ProcessFleet): Promise<Cycled> {
  const pools = SCALED_ARMS[fleet.arm].pools.filter(({ isScaled }) => isScaled).map(({ pool }) => pool);
  const moves: Move[] = [];
  const move = async (kind: Move['kind'], moving: Promise<ProcessInstance>) => {
    const fromMs = systemClock.wallMs();
    const { name } = await moving;
    moves.push({ name, kind, fromMs, toMs: systemClock.wallMs() });
  };
  for (let cycles = 0; cycles < COMING_AND_GOING.cycles; cycles++) {
    lab.signal.throwIfAborted();
    const pool = pools[cycles % pools.length]!;
    await move('in', fleet.add(pool));
    const oldest = fleet.serving(pool)[0]!;
    await move(
      'out',
      fleet.remove(oldest).then(() => oldest),
    );
    lab.progress.note(`  ${fleet.arm}: cycle ${cycles + 1}, a ${pool}`);
  }
  return { moves };
}

/** Moves by wall clock. */
interface Cycled {
  readonly moves: readonly Move[];
}

/** Which of the requests that were missed any move can have had a part in: those between their sending and their end of which something moved. */
function movesOf({ moves }: Cycled, history: readonly TimedLine[], startedWallMs: number): Pick<Comings, 'moves' | 'missed'> {
  const inSchedule = moves.map((each) => ({ ...each, fromMs: each.fromMs - startedWallMs, toMs: each.toMs - startedWallMs }));
  const bad = history.filter(isMissed);
  const moving = bad.filter(({ at, done }) => inSchedule.some(({ fromMs, toMs }) => at <= toMs && (done ?? at) >= fromMs)).length;
  return { moves: inSchedule, missed: { moving, between: bad.length - moving } };
}

export interface Struck {
  readonly proof: string;
  readonly struckWallMs: number;
  readonly shares: Readonly<Record<string, number>>;
}

async function strike(signal: AbortSignal, fleet: ProcessFleet, what: 'kill' | 'freeze'): Promise<Struck> {
  const { secondsBefore, secondsAfter } = COMING_AND_GOING;
  await sleep(secondsBefore * 1000, undefined, { signal });
  const victim = fleet.serving(SCALED_ARMS[fleet.arm].edge)[1]!;
  const struckWallMs = systemClock.wallMs();
  const proof = what === 'kill' ? await fleet.kill(victim) : await freeze(victim);
  const before = await fleet.places();
  await sleep(secondsAfter * 1000, undefined, { signal });
  const after = await fleet.places();
  if (what === 'freeze') await thaw(fleet, victim, signal);
  const given = [...after].flatMap(([name, { total }]) => (name === victim.name ? [] : [[name, total - before.get(name)!.total] as const]));
  const equal = given.reduce((sum, [, count]) => sum + count, 0) / given.length;
  return { proof, struckWallMs, shares: Object.fromEntries(given.map(([name, count]) => [name, count / equal])) };
}

/** Resolves when the operating system calls it stopped. */
async function freeze({ name, process }: ProcessInstance): Promise<string> {
  await process.kill('SIGSTOP');
  return `${name} (process ${process.pid}) stands still`;
}

/** Resolves when the balancer gives it requests again: until then, what only it knows would be read back as lost. */
async function thaw(fleet: ProcessFleet, { name, process }: ProcessInstance, signal: AbortSignal): Promise<void> {
  await process.kill('SIGCONT');
  await waitFor(
    async () => {
      signal.throwIfAborted();
      return (await fleet.places()).get(name)?.status.startsWith('UP');
    },
    { what: `the balancer has ${name} back`, timeoutMs: 60_000, pollMs: 50 },
  );
}

export interface TimedLine extends HistoryLine {
  /** Scheduled, in milliseconds since the first. */
  readonly at: number;
  readonly status: number;
}

async function linesOf(file: string): Promise<TimedLine[]> {
  const lines: TimedLine[] = [];
  for await (const line of createInterface({ input: createReadStream(file).pipe(createGunzip()) }))
    if (line !== '') lines.push(JSON.parse(line) as TimedLine);
  return lines;
}

function isMissed({ outcome }: TimedLine): boolean {
  return outcome !== 'good' && outcome !== 'pending';
}

/** What the strike did: to requests that were under way at its moment, or were sent later. */
export function strikeOf(
  { proof, struckWallMs, shares }: Struck,
  history: readonly TimedLine[],
  startedWallMs: number,
  byKey: boolean,
): Strike {
  const struckMs = struckWallMs - startedWallMs;
  const endedMs = ({ at, done }: TimedLine) => done ?? at + COMING_AND_GOING.timeoutMs;
  const later = history.filter((line) => endedMs(line) >= struckMs);
  const isAbsent = ({ op, status }: TimedLine) => byKey && op === 'hit' && status === 404;
  const bad = later.filter(isMissed);
  const missed = bad.filter((line) => !isAbsent(line));
  const slow = later.filter((line) => line.outcome === 'good' && endedMs(line) - line.at > OBJECTIVE.deadlineMs);
  const untilMs = (lines: readonly TimedLine[]) => lines.reduce((last, { at }) => Math.max(last, at), struckMs) - struckMs;
  return {
    proof,
    recoveryMs: untilMs(missed),
    slowUntilMs: untilMs([...missed, ...slow]),
    bad: missed.length,
    badBefore: history.filter(isMissed).length - bad.length,
    absentReads: bad.length - missed.length,
    shares,
  };
}
