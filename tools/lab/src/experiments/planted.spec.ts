import { describe, expect, it } from 'vitest';
import { META, reportOf as madeUpReport } from '../../test/made-up.js';
import { conclude } from '../conclusion.js';
import { noiseFloorOf, asKnown, unknownNoise } from '../noise-floor.js';
import { Progress } from '../progress.js';
import type { Experiment, Fault, Run, SeriesPoint } from '../results.js';
import { correctPrimaries } from '../statistics/holm.js';
import type { LabContext } from './context.js';
import { metricsOf } from './crash-score.js';
import { footprint } from './footprint.js';
import { contrastsOf, hopTax, HOP_TAX_MEASURES } from './hop-tax.js';
import { PANEL_SIZES, panelRuns } from './panel-runs.js';
import { isSteady } from './steady.js';

// Faults planted into made-up results: the judgement has to find them, and has to find nothing where nothing is.

const quiet = unknownNoise('not measured');
const reportOf = (...experiments: Experiment[]) => madeUpReport(...correctPrimaries(experiments));

/** Two arms over some blocks, each figure with a few per cent of made-up noise; the services' latency is that of the monolith times `slower`. */
function runsOf(blocks: number, slower: number, change: (run: Run) => Run = (run) => run): Run[] {
  const noise = (i: number) => 1 + 0.03 * Math.sin(i * 12.9898);
  return Array.from({ length: blocks * 2 }, (_, i): Run => {
    const arm = i % 2 === 0 ? 'monolith' : 'services';
    const times = noise(i) * (arm === 'services' ? slower : 1);
    const metrics = {
      p50Ms: 2 * times,
      p99Ms: 9 * times,
      cpuMsPer1000Good: 200 * times,
      availability: 1,
      coresUsed: 0.3 * times,
      memoryBytes: 1e8 * times,
    };
    return { block: i >> 1, order: i % 2, arm, label: arm, valid: true, metrics, series: [], steady: true };
  }).map(change);
}
const panels = (runs: Run[]) => ({ runs, refused: undefined, failed: undefined });

describe('a planted slow-down', () => {
  it('of 20 % is the monolith’s win; of none, nobody’s', () => {
    const [primary] = hopTax(panels(runsOf(6, 1.2)), quiet).contrasts;
    expect(primary).toMatchObject({ metric: 'p50Ms', verdict: 'better', winner: 'monolith', blocks: 6 });
    expect(hopTax(panels(runsOf(6, 1)), quiet).contrasts.filter(({ winner }) => winner)).toEqual([]);
    expect(hopTax(panels(runsOf(6, 1 / 1.2)), quiet).contrasts[0]).toMatchObject({ winner: 'services' });
  });

  it('cannot be told from five blocks, whatever became of the sixth', () => {
    for (const lost of [
      runsOf(5, 1.2),
      runsOf(6, 1.2, (run) => ({ ...run, valid: run.block !== 2 })),
      runsOf(6, 1.2).filter(({ block, arm }) => block !== 2 || arm !== 'services'),
    ]) {
      const report = reportOf(hopTax(panels(lost), quiet));
      expect(report.experiments[0]!.contrasts[0]!.verdict).toBe('no verdict');
      expect(conclude(report).outcome).toBe('cannot say');
    }
  });

  it('is not told where the gate chose the blocks', () => {
    const refused = { ...panels(runsOf(6, 1.2)), refused: '3 of 8 blocks are void' };
    const { outcome, reasons } = conclude(reportOf(hopTax(refused, quiet), footprint(refused, quiet)));
    expect(outcome).toBe('cannot say');
    expect(reasons[0]).toContain('3 of 8 blocks are void');
  });

  it('does not count a slower arm as a failure', () =>
    expect(conclude(reportOf(hopTax(panels(runsOf(6, 1.5)), quiet))).outcome).toBe('pass'));

  it('is told together with how hard each arm worked, and with how many runs were not steady', () => {
    const { findings } = hopTax(panels(runsOf(6, 2, (run) => ({ ...run, steady: run.block > 0 || run.arm === 'monolith' }))), quiet);
    expect(findings[0]).toMatch(/the monolith 30 %, the services \d\d %/);
    expect(findings[1]).toContain('1 of 12 runs were not steady');
  });

  it('is told together with the load under which its tail is one of queues', () => {
    const busy = runsOf(6, 2, (run) => ({ ...run, metrics: { ...run.metrics, 'ycsbA.coresUsed': run.metrics['coresUsed']! * 1.4 } }));
    const [ycsbB, ycsbA] = hopTax(panels(busy), quiet).findings;
    expect(ycsbB).toMatch(/^Of one core, while YCSB-B ran: .*valid runs\)\.$/);
    expect(ycsbA).toMatch(
      /^Of one core, while YCSB-A ran: the monolith 4\d %, the services 8\d % .* Not with ease: the tail of the services is one of queues, too\.$/,
    );
  });
});

describe('an arm beside itself', () => {
  const again = (slower: number) =>
    contrastsOf(
      HOP_TAX_MEASURES,
      runsOf(12, slower, (run) => ({ ...run, arm: 'monolith', label: run.arm === 'services' ? 'monolith again' : 'monolith' })),
      'monolith again',
      'monolith',
      quiet,
    );

  it('gives the floor of the margins, and refuses nothing for one difference', () => {
    const floor = asKnown(noiseFloorOf(META, [again(1.3), again(1)]));
    expect(floor.of('p50Ms')).toMatchObject({ refused: undefined });
    expect(floor.of('p50Ms').halfWidth).toBeGreaterThan(0.005);
    expect(floor.of('never measured')).toEqual({ halfWidth: undefined, refused: undefined });
  });

  it('has a measure refused that was called different twice, and then even a clear difference has no verdict', () => {
    const floor = asKnown(noiseFloorOf(META, [again(1.3), again(1.3)]));
    expect(floor.words).toContain('refused, because it was called different from itself twice: p50Ms');
    expect(hopTax(panels(runsOf(6, 2)), floor).contrasts[0]).toMatchObject({ verdict: 'no verdict' });
  });

  it('is not used for figures that are got in another way', () => {
    const floor = asKnown({ ...noiseFloorOf(META, [again(1.3), again(1.3)]), measurement: 'another' });
    expect(floor.words).toContain('measured in another way');
    expect(floor.of('p50Ms')).toEqual({});
  });
});

describe('crash figures', () => {
  const fault: Fault = { kind: 'kill', part: 'log', fromSecond: 3.5, toSecond: 6.5, proof: 'x' };
  const none = { acknowledged: 9, acknowledgedKeys: 9, unknown: 0, lost: [], phantom: [], invented: [], unread: [] };
  const outcomes = { pending: 0, good: 0, refused: 0, 'wrong-status': 0, 'wrong-answer': 0, timeout: 0, reset: 0, unsent: 0 };
  /** Offered varies from second to second, as Poisson arrivals do. */
  const series = (goodShare: (second: number) => number): SeriesPoint[] =>
    Array.from({ length: 15 }, (_, second) => {
      const offered = 400 + (second % 2 === 0 ? 20 : -20);
      return { second, offered: { put: offered }, good: { put: offered * goodShare(second) }, p99Ms: 3 };
    });

  it('count no loss where nothing was lost, though arrivals vary, and the whole of what was', () => {
    expect(metricsOf({ series: series(() => 1), outcomes }, fault, none)).toMatchObject({ lostGoodRequests: 0 });
    expect(metricsOf({ series: series(() => 1), outcomes }, fault, none, false)).toMatchObject({ cameBack: 0 });
    expect(metricsOf({ series: series(() => 1), outcomes }, fault, none)).not.toHaveProperty('cameBack');
    const away = metricsOf({ series: series((second) => (second >= 4 && second < 7 ? 0 : 1)), outcomes }, fault, none);
    expect(away).toMatchObject({ lostGoodRequests: 420 + 380 + 420, recoverySeconds: 0.5 });
  });

  it('hold no arm for recovered that is not, and carry every planted wrong', () => {
    const wrong = { ...none, lost: ['a'], phantom: ['b', 'c'], invented: ['d'] };
    const figures = metricsOf(
      { series: series((second) => (second >= 4 ? 0.5 : 1)), outcomes: { ...outcomes, 'wrong-answer': 5 } },
      fault,
      wrong,
    );
    expect(figures['recoverySeconds']).toBeUndefined();
    expect(figures).toMatchObject({ acknowledgedWritesLost: 1, phantomValues: 2, refusedWritesDone: 1, wrongAnswers: 5 });
  });
});

it('is steady when three windows in a row agree in both, and not before', () => {
  const window = (p50Ms: number, cpuMsPer1000Good: number | undefined = 200) => ({ p50Ms, cpuMsPer1000Good });
  expect(isSteady([window(2), window(2)])).toBe(false);
  expect(isSteady([window(9), window(2), window(2.05), window(2.09)])).toBe(true);
  expect(isSteady([window(2), window(2.1), window(2.23)])).toBe(false);
  expect(isSteady([window(2), window(2, 210), window(2, 223)])).toBe(false);
  expect(isSteady([window(2, undefined), window(2, undefined), window(2, undefined)])).toBe(true);
});

describe('panel runs', () => {
  const lab = (signal: AbortSignal): LabContext => ({
    seed: 1,
    startArm: () => Promise.reject(new Error('it did not start')),
    profile: { system: undefined, generator: undefined, words: '' },
    signal,
    progress: new Progress(1, { isTTY: false, write: () => true } as unknown as NodeJS.WriteStream),
    runDir: '',
    voidBlocks: [],
  });

  it('end with the reason, and with what was measured before, when an arm does not start', async () => {
    const { failed, runs } = await panelRuns(lab(new AbortController().signal), ['monolith', 'services'], PANEL_SIZES);
    expect(failed).toBe('block 1: it did not start');
    expect(runs).toEqual([]);
  });

  it('start nothing after a signal', async () => {
    expect(await panelRuns(lab(AbortSignal.abort()), ['monolith', 'services'], PANEL_SIZES)).toMatchObject({ runs: [], failed: undefined });
  });
});
