import { fill, warm } from '../load/fill.js';
import { runLoad } from '../load/run-load.js';
import type { LoadPlan, Stream } from '../load/schedule.js';
import type { LoadResult } from '../load/summary.js';
import { CITIES, CITY_READS, YCSB_A, YCSB_B, ZIPF_KEYS } from '../load/workloads.js';
import { generatorGate, MachineGate } from '../gates.js';
import { shuffled, seededRandom } from '../load/random.js';
import type { ArmName } from '../dependency-table.js';
import type { Run } from '../results.js';
import type { RunningArm } from '../running-arm.js';
import type { LabContext } from './context.js';

/** How long and how much. The small sizes are for tests, the real ones for a verdict. */
export interface PanelSizes {
  /** Fixed before the run; six are the fewest that can carry a verdict. */
  readonly blocks: number;
  readonly ratePerSecond: number;
  readonly warmUpSeconds: number;
  /** Of YCSB-B; A and the cities take a little over half as long. */
  readonly seconds: number;
}

export const PANEL_SIZES: PanelSizes = { blocks: 6, ratePerSecond: 1_700, warmUpSeconds: 1.5, seconds: 3 };

/** Of the primary's time, for YCSB-A and for the cities: enough for a p99 of their own. */
const SIDE_SHARE = 0.67;

const VALUE_BYTES = 256;
const TIMEOUT_MS = 2_000;
const CONNECTIONS = 256;
/** More voids than this and the gate itself would choose what is seen. */
const VOID_SHARE_MAX = 0.3;

/**
 * Paired blocks: in each, every arm once, back to back, in random order, with fresh processes and the same seed. From the same runs come the hop
 * tax (load) and the footprint (start, memory).
 */
export async function panelRuns(lab: LabContext, arms: readonly ArmName[], sizes: PanelSizes): Promise<Run[]> {
  const runs: Run[] = [];
  const machine = new MachineGate();
  const voidsMax = Math.floor(sizes.blocks * VOID_SHARE_MAX) + 1;
  let voids = 0;
  for (let block = 0; block < sizes.blocks + voids && !lab.signal.aborted; block++) {
    const order = shuffled(
      arms.map((arm, i) => ({ arm, label: arms.indexOf(arm) === i ? arm : `${arm} again` })),
      seededRandom(lab.seed + block, 'order'),
    );
    const ofBlock: Run[] = [];
    const reasons: string[] = [];
    machine.begin();
    for (const [place, { arm, label }] of order.entries()) {
      if (lab.signal.aborted) break;
      lab.progress.step(`block ${block + 1} of ${sizes.blocks + voids}: ${label}`, secondsPerRun(sizes));
      const { run, why } = await oneRun(lab, { arm, label, block, order: place }, sizes);
      if (why) reasons.push(`${label}: ${why}`);
      ofBlock.push(run);
    }
    const why = machine.end();
    if (why) reasons.push(why);
    for (const reason of reasons) lab.voidBlocks.push({ experiment: 'panels', block, arm: 'both', why: reason });
    if (reasons.length > 0) lab.progress.note(`block ${block + 1} is void: ${reasons.join('; ')}`);
    if (reasons.length > 0 && voids < voidsMax) voids++;
    runs.push(...ofBlock.map((run) => ({ ...run, valid: reasons.length === 0 && ofBlock.length === arms.length })));
  }
  return runs;
}

export function secondsPerRun(sizes: PanelSizes): number {
  return 5 + sizes.warmUpSeconds + sizes.seconds * (1 + 2 * SIDE_SHARE);
}

async function oneRun(
  lab: LabContext,
  id: Pick<Run, 'arm' | 'label' | 'block' | 'order'>,
  sizes: PanelSizes,
): Promise<{ run: Run; why: string | undefined }> {
  const arm = await lab.startArm(id.arm);
  try {
    const idle = arm.usage();
    await fill(arm.url, [ZIPF_KEYS, CITIES], VALUE_BYTES, lab.signal);
    await warm(arm.url, CITIES, lab.signal);
    const load = (streams: readonly Stream[], seconds: number, name: string) =>
      measure(
        lab,
        arm,
        planOf(
          lab.seed + id.block,
          arm.url,
          streams,
          seconds,
          sizes.ratePerSecond,
          `${lab.runDir}/history-${name}-${id.label.replaceAll(' ', '-')}-${id.block}.jsonl`,
        ),
      );
    const warmUp = await load(YCSB_B, sizes.warmUpSeconds, 'warm-up');
    const ycsbB = await load(YCSB_B, sizes.seconds, 'ycsb-b');
    const ycsbA = await load(YCSB_A, sizes.seconds * SIDE_SHARE, 'ycsb-a');
    const cities = await load(CITY_READS, sizes.seconds * SIDE_SHARE, 'cities');
    const { rssBytes, pssBytes } = arm.usage();
    const metrics = {
      ...figures('', ycsbB),
      ...figures('ycsbA.', ycsbA),
      ...figures('cities.', cities),
      firstGoodReplyMs: arm.firstGoodReplyMs,
      processes: arm.processes,
      ports: arm.ports,
      settings: arm.settings,
      idlePssBytes: idle.pssBytes,
      rssBytes,
      pssBytes,
    };
    const why = [ycsbB, ycsbA, cities].map(({ result }) => generatorGate(result)).find((reason) => reason !== undefined);
    const run: Run = {
      ...id,
      valid: why === undefined,
      metrics: withoutMissing(metrics),
      series: ycsbB.result.series,
      steady: isSteady(warmUp.result, ycsbB.result),
    };
    return { run, why };
  } finally {
    await arm.stop();
  }
}

interface Measured {
  readonly result: LoadResult;
  readonly cpuMs: number | undefined;
}

async function measure(lab: LabContext, arm: RunningArm, plan: LoadPlan): Promise<Measured> {
  const before = arm.usage().cpuMs;
  const result = await runLoad(plan, { cores: lab.profile.generator, signal: lab.signal });
  const after = arm.usage().cpuMs;
  return { result, cpuMs: before === undefined || after === undefined ? undefined : after - before };
}

function planOf(
  seed: number,
  baseUrl: string,
  streams: readonly Stream[],
  seconds: number,
  ratePerSecond: number,
  historyFile: string,
): LoadPlan {
  return {
    baseUrl,
    seed,
    seconds,
    ratePerSecond,
    streams,
    valueBytes: VALUE_BYTES,
    timeoutMs: TIMEOUT_MS,
    connections: CONNECTIONS,
    mode: 'open',
    historyFile,
  };
}

function figures(prefix: string, { result, cpuMs }: Measured): Record<string, number | undefined> {
  return {
    [`${prefix}p50Ms`]: result.latency.p50Ms,
    [`${prefix}p99Ms`]: result.latency.p99Ms ?? undefined,
    [`${prefix}availability`]: result.offered === 0 ? undefined : result.good / result.offered,
    [`${prefix}cpuMsPer1000Good`]: cpuMs === undefined || result.good === 0 ? undefined : (cpuMs / result.good) * 1000,
  };
}

/** The warm-up's second half and the measured part agree within 25 % on the median of the seconds' p99: a coarse look, as the warm-up is short. */
function isSteady(warmUp: LoadResult, measured: LoadResult): boolean {
  return measured.latency.p50Ms <= warmUp.latency.p50Ms * 1.05 && measured.latency.p50Ms >= warmUp.latency.p50Ms * 0.75;
}

function withoutMissing(metrics: Record<string, number | undefined>): Record<string, number> {
  return Object.fromEntries(Object.entries(metrics).filter((entry): entry is [string, number] => entry[1] !== undefined));
}
