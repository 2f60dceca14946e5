import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { LoadOptions } from '../load/run-load.js';
import type { LoadPlan } from '../load/schedule.js';
import type { LoadResult } from '../load/summary.js';
import { Progress } from '../progress.js';
import type { RunningArm } from '../running-arm.js';
import type { LabContext } from './context.js';
import { panelRuns, type PanelSizes } from './panel-runs.js';

// The experiment alone, on arms that are made up, with a load that is over at once and a machine that is quiet until it is told otherwise.

const made = vi.hoisted(() => ({
  plans: [] as LoadPlan[],
  disturbed: [] as Array<string | undefined>,
  lateBlocks: new Set<number>(),
  block: -1,
  cpuMs: 0,
}));

vi.mock('../load/fill.js', () => ({ fill: () => Promise.resolve(), warm: () => Promise.resolve() }));
vi.mock('../gates.js', async (original) => ({
  ...(await original<object>()),
  MachineGate: class {
    begin() {
      made.block++;
    }
    end() {
      return made.disturbed.shift();
    }
  },
}));
vi.mock('../load/run-load.js', () => ({
  runLoad: (plan: LoadPlan, options: LoadOptions): Promise<LoadResult> => {
    made.plans.push(plan);
    made.cpuMs += 1_000; // the generator starts, and the arm idles
    options.onPhase?.('sending');
    for (let window = 0; window < 3; window++) {
      made.cpuMs += 100;
      options.onWindow?.({ p50Ms: 2, good: 1_000 });
    }
    options.onPhase?.('sent');
    made.cpuMs += 5_000; // the history is written
    const late = made.lateBlocks.has(made.block) && plan.baseUrl.includes('services');
    return Promise.resolve({
      startedWallMs: 0,
      offered: 2_000,
      good: 1_500,
      outcomes: { pending: 0, good: 1_500, refused: 0, 'wrong-status': 0, 'wrong-answer': 1, timeout: 499, reset: 0, unsent: 0 },
      perCapability: {},
      latency: { p50Ms: 2, p90Ms: 3, p99Ms: null, p999Ms: null, timeoutMs: 2_000 },
      series: [],
      generator: { latenessMs: { p50: 0, p99: late ? 50 : 1, max: 50 }, sentOnScheduleShare: 1, cpuShare: 0.1 },
    });
  },
}));

const SIZES: PanelSizes = { blocks: 6, ratePerSecond: 100, seconds: 3 };

function labOf(change: Partial<LabContext> = {}): LabContext & { stopped: string[] } {
  const stopped: string[] = [];
  return {
    seed: 1,
    startArm: (name) =>
      Promise.resolve({
        name,
        url: `http://${name}`,
        firstGoodReplyMs: 5,
        processes: 1,
        ports: 1,
        settings: 0,
        usage: () => ({ cpuMs: made.cpuMs, rssBytes: 3, memoryBytes: 2 }),
        cpuMs: () => made.cpuMs,
        stop: () => (stopped.push(name), Promise.resolve()),
      } as unknown as RunningArm),
    profile: { system: undefined, generator: undefined, words: '' },
    signal: new AbortController().signal,
    progress: new Progress(1, { isTTY: false, write: () => true } as unknown as NodeJS.WriteStream),
    runDir: '',
    voidBlocks: [],
    stopped,
    ...change,
  };
}

beforeEach(() => {
  Object.assign(made, { block: -1, cpuMs: 0 });
  made.plans.length = made.disturbed.length = 0;
  made.lateBlocks.clear();
});

describe('panel runs', () => {
  it('run each arm once a block, and each second block in the reverse order of the one before', async () => {
    const lab = labOf();
    const { runs, refused } = await panelRuns(lab, ['monolith', 'services'], SIZES);
    expect(runs.length).toBe(12);
    expect(refused).toBeUndefined();
    const orders = Array.from({ length: 6 }, (_, block) => runs.filter((run) => run.block === block).map(({ arm }) => arm));
    for (const block of [0, 2, 4]) expect(orders[block + 1]).toEqual([...orders[block]!].reverse());
    expect(lab.stopped.length).toBe(12);
    expect(runs.every(({ valid, steady }) => valid && steady)).toBe(true);
  });

  it('give both arms of a block the same arrivals, keys and operations, and other blocks others', async () => {
    await panelRuns(labOf(), ['monolith', 'services'], SIZES);
    const seeds = new Map<string, Set<number>>();
    const perBlock = made.plans.length / SIZES.blocks;
    for (const [i, { id, seed }] of made.plans.entries()) {
      const name = `${Math.floor(i / perBlock)} ${id}`;
      seeds.set(name, (seeds.get(name) ?? new Set()).add(seed));
    }
    expect(seeds.size).toBe(SIZES.blocks * 4);
    expect([...seeds.values()].every(({ size }) => size === 1)).toBe(true);
    expect(new Set([...seeds.values()].flatMap((each) => [...each])).size).toBe(SIZES.blocks * 4);
  });

  it('take the CPU time of the load alone, for each thousand good answers and as a share of a core', async () => {
    const { runs } = await panelRuns(labOf(), ['monolith', 'services'], SIZES);
    // 300 ms of CPU for 1,500 good answers in 3 s.
    expect(runs[0]!.metrics).toMatchObject({ cpuMsPer1000Good: 200, coresUsed: 0.1, 'ycsbA.cpuMsPer1000Good': 200 });
    expect(runs[0]!.metrics).toMatchObject({ availability: 0.75, wrongAnswers: 3, memoryBytes: 2, p50Ms: 2 });
    expect(runs[0]!.metrics).not.toHaveProperty('p99Ms');
  });

  it('void a block as a whole when the generator was late in one of its runs, and run a spare', async () => {
    made.lateBlocks.add(2);
    const lab = labOf();
    const { runs } = await panelRuns(lab, ['monolith', 'services'], SIZES);
    expect(runs.filter(({ valid }) => !valid).map(({ block }) => block)).toEqual([2, 2]);
    expect(runs.filter(({ valid }) => valid).length).toBe(12);
    expect(lab.voidBlocks).toMatchObject([{ block: 2, arm: 'services' }]);
  });

  it('void it for the machine as well, and refuse to compare when too many are void', async () => {
    made.disturbed.push('busy', 'busy', 'busy');
    const { runs, refused } = await panelRuns(labOf(), ['monolith', 'services'], SIZES);
    expect(runs.filter(({ valid }) => !valid).length).toBe(6);
    expect(refused).toContain('blocks are void');
  });

  it('count nothing of a block that a signal cut short', async () => {
    const stop = new AbortController();
    const base = labOf();
    const startArm: LabContext['startArm'] = (name, signal) => {
      if (made.block === 1) stop.abort();
      return base.startArm(name, signal);
    };
    const { runs } = await panelRuns(labOf({ signal: stop.signal, startArm }), ['monolith', 'services'], SIZES);
    expect(runs.filter(({ valid }) => valid).map(({ block }) => block)).toEqual([0, 0]);
  });
});
