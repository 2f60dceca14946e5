import { fill, warm } from '../load/fill.js';
import { runLoad } from '../load/run-load.js';
import type { LoadPlan, Stream } from '../load/schedule.js';
import type { LoadResult } from '../load/summary.js';
import { CITIES, CITY_READS, YCSB_A, YCSB_B, ZIPF_KEYS } from '../load/workloads.js';
import { generatorGate, MachineGate, refusal, GATES } from '../gates.js';
import { shuffled, seededRandom } from '../load/random.js';
import type { ArmName } from '../dependency-table.js';
import type { Run, VoidBlock } from '../results.js';
import type { RunningArm } from '../running-arm.js';
import type { LabContext } from './context.js';
import { isSteady, STEADY, type WarmUpWindow } from './steady.js';

/** How long and how much. */
export interface PanelSizes {
  /** Fixed before the run; six are the fewest that can carry a verdict, twelve are wanted for one that is published. */
  readonly blocks: number;
  readonly ratePerSecond: number;
  /** Of YCSB-B; A and the cities have two thirds as many requests. */
  readonly seconds: number;
}

export const PANEL_SIZES: PanelSizes = { blocks: 6, ratePerSecond: 1_700, seconds: 3 };
/**
 * A quota is used up in bursts: at 1,700 requests/s the gateway used 0.6 of its 0.4 of a core and was stopped in 14 % of its periods of 100 ms, and the
 * p99 of the services was 450 ms. A third of the rate, for twice as long.
 */
export const PANEL_SIZES_IN_CONTAINERS: PanelSizes = { blocks: 6, ratePerSecond: 600, seconds: 8 };

/** Of the primary's time, for YCSB-A and for the cities: enough for a p99 of their own. */
const SIDE_SHARE = 0.65;
/**
 * Of the rate, for YCSB-A, and as much longer: about half of what the services served of it on one core of the machine that this was set on (0.5 ms of
 * CPU a request). At the whole rate they used 0.87 of that core, and their p99 was that of a queue.
 */
const YCSB_A_RATE_SHARE = 0.6;

const VALUE_BYTES = 256;
const TIMEOUT_MS = 2_000;
/** Requests in flight at most: at this rate a stall of up to 0.3 s is seen at its true length. */
const IN_FLIGHT = 512;

/** All that decides what a figure of a panel run means, but the number of blocks. */
export const PANEL_MEASUREMENT = {
  ratePerSecond: PANEL_SIZES.ratePerSecond,
  seconds: PANEL_SIZES.seconds,
  sideShare: SIDE_SHARE,
  ycsbARateShare: YCSB_A_RATE_SHARE,
  valueBytes: VALUE_BYTES,
  timeoutMs: TIMEOUT_MS,
  inFlight: IN_FLIGHT,
  steady: STEADY,
  gates: GATES,
  streams: { YCSB_A, YCSB_B, CITY_READS },
};

export interface PanelRuns {
  readonly runs: readonly Run[];
  /** Why nothing of this may be compared. */
  readonly refused: string | undefined;
  /** Why it ended before its last block; the blocks before it are here. */
  readonly failed: string | undefined;
}

/**
 * Paired blocks: in each, every arm once, back to back, with fresh processes and the same seed. The order is random, and each second block has the
 * reverse of the one before, so that no arm goes first more often. From the same runs come the hop tax (load) and the footprint (start, memory).
 */
export async function panelRuns(lab: LabContext, arms: readonly ArmName[], sizes: PanelSizes): Promise<PanelRuns> {
  const runs: Run[] = [];
  const voids: VoidBlock[] = [];
  const machine = new MachineGate(lab.signs);
  const sparesMax = Math.floor(sizes.blocks * GATES.voidShareMax) + 1;
  let spares = 0;
  let failed: string | undefined;
  let block = 0;
  for (; block < sizes.blocks + spares && !lab.signal.aborted && failed === undefined; block++) {
    const found: VoidBlock[] = [];
    const ofBlock: Run[] = [];
    machine.begin();
    try {
      for (const [place, { arm, label }] of orderOf(lab.seed, block, arms).entries()) {
        lab.progress.step(`block ${block + 1} of ${sizes.blocks + spares}: ${label}`, secondsPerRun(sizes));
        const { run, why } = await oneRun(lab, { arm, label, block, order: place }, sizes);
        if (why) found.push({ experiment: 'panels', block, arm, why: `${label}: ${why}` });
        ofBlock.push(run);
      }
    } catch (error) {
      // What the blocks before have measured is kept.
      failed = `block ${block + 1}: ${error instanceof Error ? error.message : String(error)}`;
    }
    const why = machine.end();
    if (why) found.push({ experiment: 'panels', block, arm: 'machine', why });
    // A run that was cut short has figures of another length than its pair.
    const whole = ofBlock.length === arms.length && !lab.signal.aborted;
    runs.push(...ofBlock.map((run) => ({ ...run, valid: found.length === 0 && whole })));
    voids.push(...found);
    if (found.length > 0) lab.progress.note(`block ${block + 1} is void: ${found.map((each) => each.why).join('; ')}`);
    if (found.length > 0 && spares < sparesMax) {
      spares++;
      lab.progress.extend(arms.length * secondsPerRun(sizes));
    }
  }
  lab.voidBlocks.push(...voids);
  return { runs, refused: refusal(voids, block, new Set(arms).size), failed };
}

/** Every second block has the reverse of the one before. */
export function orderOf(seed: number, block: number, arms: readonly ArmName[]): ReadonlyArray<{ arm: ArmName; label: string }> {
  const labelled = arms.map((arm, i) => ({ arm, label: arms.indexOf(arm) === i ? arm : `${arm} again` }));
  const order = shuffled(labelled, seededRandom(seed, `order of blocks ${block >> 1}`));
  return block % 2 === 0 ? order : order.reverse();
}

export function secondsPerRun(sizes: PanelSizes): number {
  return (
    6 + (STEADY.windows * STEADY.windowSeconds + STEADY.capSeconds) / 2 + sizes.seconds * (1 + SIDE_SHARE + SIDE_SHARE / YCSB_A_RATE_SHARE)
  );
}

async function oneRun(
  lab: LabContext,
  id: Pick<Run, 'arm' | 'label' | 'block' | 'order'>,
  sizes: PanelSizes,
): Promise<{ run: Run; why: string | undefined }> {
  const arm = await lab.startArm(id.arm, lab.signal);
  try {
    const idle = await arm.usage();
    await fill(arm.url, [ZIPF_KEYS, CITIES], VALUE_BYTES, lab.signal);
    await warm(arm.url, [ZIPF_KEYS, CITIES], lab.signal);
    const load = (name: string, streams: readonly Stream[], share: number, rateShare = 1) => {
      const seconds = (sizes.seconds * share) / rateShare;
      return measure(lab, arm, planFor(lab, arm, id, { name, streams, seconds, ratePerSecond: sizes.ratePerSecond * rateShare }));
    };
    const { steady, seconds: warmUpSeconds } = await warmUp(lab, arm, id, sizes);
    const ycsbB = await load('ycsb-b', YCSB_B, 1);
    const ycsbA = await load('ycsb-a', YCSB_A, SIDE_SHARE, YCSB_A_RATE_SHARE);
    const cities = await load('cities', CITY_READS, SIDE_SHARE);
    const { rssBytes, memoryBytes } = await arm.usage();
    const metrics = {
      ...figures('', ycsbB),
      ...figures('ycsbA.', ycsbA),
      ...figures('cities.', cities),
      wrongAnswers: [ycsbB, ycsbA, cities].reduce((sum, { result }) => sum + result.outcomes['wrong-answer'], 0),
      firstGoodReplyMs: arm.firstGoodReplyMs,
      processes: arm.processes,
      ports: arm.ports,
      settings: arm.settings,
      idleMemoryBytes: idle.memoryBytes,
      rssBytes,
      memoryBytes,
      warmUpSeconds,
    };
    const why = [ycsbB, ycsbA, cities].map(({ result }) => generatorGate(result)).find((reason) => reason !== undefined);
    return { run: { ...id, valid: why === undefined, metrics: withoutMissing(metrics), series: ycsbB.result.series, steady }, why };
  } finally {
    await arm.stop();
  }
}

/** The load of the primary, with another seed, until the arm is steady or the cap is reached. Nothing of it is scored. */
async function warmUp(
  lab: LabContext,
  arm: RunningArm,
  id: Pick<Run, 'block' | 'label'>,
  sizes: PanelSizes,
): Promise<{ steady: boolean; seconds: number }> {
  const enough = new AbortController();
  const windows: WarmUpWindow[] = [];
  let cpuMs = arm.cpuMs();
  // Asked for at once, judged when it is known: of a container that takes a moment.
  let judged: Promise<void> = Promise.resolve();
  const plan = planFor(lab, arm, id, {
    name: 'warm-up',
    streams: YCSB_B,
    seconds: STEADY.capSeconds + 0.5,
    ratePerSecond: sizes.ratePerSecond,
  });
  await runLoad(
    { ...plan, seed: seedOf(lab.seed, 'warm-up', id.block), windowSeconds: STEADY.windowSeconds, historyFile: undefined },
    {
      cores: lab.profile.generator,
      signal: AbortSignal.any([lab.signal, enough.signal]),
      onPhase: (phase) => {
        if (phase === 'sending') cpuMs = arm.cpuMs();
      },
      onWindow: ({ p50Ms, good }) => {
        const asked = [cpuMs, (cpuMs = arm.cpuMs())] as const;
        judged = judged.then(async () => {
          const [beforeMs, nowMs] = [await asked[0], await asked[1]];
          const cpuMsPer1000Good = nowMs === undefined || beforeMs === undefined ? undefined : ((nowMs - beforeMs) / good) * 1000;
          windows.push({ p50Ms, cpuMsPer1000Good });
          if (isSteady(windows) || windows.length * STEADY.windowSeconds >= STEADY.capSeconds) enough.abort();
        });
      },
    },
  ).finally(() => judged);
  return { steady: isSteady(windows), seconds: windows.length * STEADY.windowSeconds };
}

interface Measured {
  readonly result: LoadResult;
  readonly cpuMs: number | undefined;
  readonly seconds: number;
}

async function measure(lab: LabContext, arm: RunningArm, plan: LoadPlan): Promise<Measured> {
  const cpuMsAt: { sending?: ReturnType<RunningArm['cpuMs']>; sent?: ReturnType<RunningArm['cpuMs']> } = {};
  // What an idle arm uses while the generator starts, or writes its history, is none of the load's.
  const onPhase = (phase: 'sending' | 'sent') => void (cpuMsAt[phase] = arm.cpuMs());
  const result = await runLoad(plan, { cores: lab.profile.generator, signal: lab.signal, onPhase });
  const [sending, sent] = [await cpuMsAt.sending, await cpuMsAt.sent];
  return { result, cpuMs: sending === undefined || sent === undefined ? undefined : sent - sending, seconds: plan.seconds };
}

function planFor(
  lab: LabContext,
  arm: RunningArm,
  { block, label }: Pick<Run, 'block' | 'label'>,
  { name, streams, seconds, ratePerSecond }: Pick<LoadPlan, 'streams' | 'seconds' | 'ratePerSecond'> & { name: string },
): LoadPlan {
  return {
    id: name,
    baseUrl: arm.url,
    // The same for all arms of a block: arrivals, keys and operations are paired.
    seed: seedOf(lab.seed, name, block),
    seconds,
    ratePerSecond,
    streams,
    valueBytes: VALUE_BYTES,
    timeoutMs: TIMEOUT_MS,
    connections: IN_FLIGHT,
    mode: 'open',
    historyFile: `${lab.runDir}/history/${name}-block-${block + 1}-${label.replaceAll(' ', '-')}.jsonl.gz`,
  };
}

function seedOf(seed: number, name: string, block: number): number {
  return seededRandom(seed, `${name} of block ${block}`).below(1_000_000_000);
}

function figures(prefix: string, { result, cpuMs, seconds }: Measured): Record<string, number | undefined> {
  return {
    [`${prefix}p50Ms`]: result.latency.p50Ms,
    [`${prefix}p99Ms`]: result.latency.p99Ms ?? undefined,
    [`${prefix}availability`]: result.offered === 0 ? undefined : result.good / result.offered,
    [`${prefix}cpuMsPer1000Good`]: cpuMs === undefined || result.good === 0 ? undefined : (cpuMs / result.good) * 1000,
    [`${prefix}coresUsed`]: cpuMs === undefined ? undefined : cpuMs / (seconds * 1000),
  };
}

function withoutMissing(metrics: Record<string, number | undefined>): Record<string, number> {
  return Object.fromEntries(Object.entries(metrics).filter((entry): entry is [string, number] => entry[1] !== undefined));
}
