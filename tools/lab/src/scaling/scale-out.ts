import { profile } from '@diptych/testing';
import { fill, warm } from '../load/fill.js';
import { shuffled, seededRandom } from '../load/random.js';
import type { Stream } from '../load/schedule.js';
import { YCSB_B, ZIPF_KEYS } from '../load/workloads.js';
import { BALANCER_BOUNDS } from './balancer.js';
import { best, bottleneck, doubtOf, GENERATOR_BOUNDS, OBJECTIVE, offerTo, search, SEARCH, type Step } from './capacity.js';
import { PERIOD_MS } from './cpu-quota.js';
import { CPUS_AN_INSTANCE, crashesOf, type ScaledArmName } from './fleet.js';
import type { ScalingLab } from './scaling-lab.js';

export const SCALE_OUT = {
  instances: [1, 2, 3, 4],
  arms: ['monolith-replicas', 'services-scaled'],
  workloads: { 'YCSB-B': YCSB_B, 'reads only': [{ capability: 'hit', share: 100, keys: ZIPF_KEYS }] as readonly Stream[] },
  cpusAnInstance: CPUS_AN_INSTANCE,
  periodMs: PERIOD_MS,
  objective: OBJECTIVE,
  generator: GENERATOR_BOUNDS,
  search: SEARCH,
  balancer: BALANCER_BOUNDS,
} as const;

type WorkloadName = keyof typeof SCALE_OUT.workloads;

/** What N instances of an arm could do. */
export interface Scaled {
  readonly block: number;
  readonly arm: ScaledArmName;
  readonly workload: WorkloadName;
  readonly instances: number;
  /** Cores that its processes may use together, the balancer left out. */
  readonly cpus: number;
  readonly steps: readonly Step[];
  /** What was wrong with the machine meanwhile, or which instance was no longer there; undefined: nothing. */
  readonly disturbed: string | undefined;
}

/** Goodput at one objective for N = 1…4 instances of each arm: search after search, each with fresh processes. */
export async function scaleOut(lab: ScalingLab): Promise<Scaled[]> {
  const order = seededRandom(lab.seed, 'scale-out');
  const done: Scaled[] = [];
  for (let block = 0; block < lab.blocks; block++) {
    for (const arm of shuffled(SCALE_OUT.arms, order))
      for (const instances of shuffled(SCALE_OUT.instances, order)) {
        lab.signal.throwIfAborted();
        // By key, a replica that is late for its checks on a busy machine takes its keys along before anything is measured: then once more, from the start.
        const measured = await measure(lab, block, arm, instances).catch((error: unknown) => {
          lab.signal.throwIfAborted();
          lab.progress.note(`  once more: ${error instanceof Error ? error.message : String(error)}`);
          return measure(lab, block, arm, instances);
        });
        done.push(...measured);
        lab.keep(done);
      }
  }
  return done;
}

async function measure(lab: ScalingLab, block: number, arm: ScaledArmName, instances: number): Promise<Scaled[]> {
  lab.progress.step(`block ${block + 1}: ${arm}, ${instances} instance(s)`, SECONDS_A_SEARCH);
  const found: Scaled[] = [];
  for (const workload of Object.keys(SCALE_OUT.workloads) as WorkloadName[]) {
    const { measured, disturbed } = await lab.watched(() => searchWith(lab, { block, arm, workload, instances }), { stealJudged: false });
    found.push({ ...measured, disturbed: measured.disturbed ?? disturbed });
    const { steps } = measured;
    if (measured.disturbed !== undefined) lab.progress.note(`  disturbed: ${measured.disturbed}`);
    lab.progress.note(`  ${arm}, ${instances}, ${workload}: ${Math.round(best(steps)?.goodPerSecond ?? 0)} good/s; ${bottleneck(steps)}`);
  }
  return found;
}

async function searchWith(lab: ScalingLab, of: Pick<Scaled, 'block' | 'arm' | 'workload' | 'instances'>): Promise<Scaled> {
  const { block, arm, workload, instances } = of;
  await using fleet = await lab.startFleet(arm, countsOf(arm, instances));
  await fill(fleet.url, [ZIPF_KEYS], SEARCH.valueBytes, lab.signal);
  await warm(fleet.url, [ZIPF_KEYS], lab.signal);
  fleet.hold();
  const cpus = (await fleet.use()).reduce((sum, each) => sum + (each.cpus ?? 0), 0);
  const options = { seed: lab.seed + block, streams: SCALE_OUT.workloads[workload], cores: profile().generator, signal: lab.signal };
  const first = SEARCH.firstRatePerInstance * Math.max(1, instances * 0.7);
  const steps = await search(first, offerTo(fleet, `${block}-${workload.replaceAll(/\W/g, '')}`, options));
  return { ...of, cpus, steps, disturbed: crashesOf(fleet)[0] ?? doubtOf(steps) };
}

/** About, with both workloads. */
const SECONDS_A_SEARCH = 200;
export const SCALE_OUT_SECONDS = SCALE_OUT.arms.length * SCALE_OUT.instances.length * SECONDS_A_SEARCH;

/** N replicas; or N gateways with caches for every two of them, since a gateway needs about twice what a cache needs. */
function countsOf(arm: ScaledArmName, instances: number) {
  return arm === 'monolith-replicas' ? { replica: instances } : { gateway: instances, cache: Math.ceil(instances / 2) };
}
