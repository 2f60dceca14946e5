import { expect, it } from 'vitest';
import { conclude } from '../conclusion.js';
import type { LabReport } from '../results.js';
import { strikeOf, type Comings, type TimedLine } from './coming-and-going.js';
import { comingAndGoingExperiment } from './coming-and-going-report.js';

const STRUCK = { proof: 'gateway-2 stands still', struckWallMs: 105_000, shares: { 'gateway-1': 1, 'gateway-3': 1 } };

const line = (at: number, done: number | null, more: Partial<TimedLine> = {}): TimedLine => ({
  id: String(at),
  op: 'put',
  key: 'k',
  at,
  sent: at,
  done,
  status: 204,
  outcome: 'good',
  ...more,
});

it('of a strike is what was under way then or came later, and slowness after it; what had ended before is not', () => {
  const history = [
    line(1_000, 1_010, { outcome: 'refused', status: 503 }),
    line(1_100, 1_900),
    line(4_990, 5_200, { outcome: 'refused', status: 503 }),
    line(4_995, null, { outcome: 'timeout', status: 0 }),
    line(5_500, 5_510, { op: 'hit', outcome: 'refused', status: 404 }),
    line(5_800, 5_900, { outcome: 'refused', status: 503 }),
    line(6_700, 6_951),
    line(7_000, 7_250),
  ];
  const expected = { proof: STRUCK.proof, shares: STRUCK.shares, slowUntilMs: 1_700, badBefore: 1 };
  expect(strikeOf(STRUCK, history, 100_000, true)).toEqual({ ...expected, recoveryMs: 800, bad: 3, absentReads: 1 });
  expect(strikeOf(STRUCK, history, 100_000, false)).toEqual({ ...expected, recoveryMs: 800, bad: 4, absentReads: 0 });
  expect(strikeOf(STRUCK, history.slice(0, 2), 100_000, false)).toMatchObject({ recoveryMs: 0, slowUntilMs: 0, bad: 0, badBefore: 1 });
});

const COMINGS = {
  what: 'cycles',
  arm: 'services-scaled',
  cycles: 20,
  offered: 10,
  good: 10,
  outcomes: {},
  durability: { acknowledged: 3, acknowledgedKeys: 2, unknown: 0, lost: [], phantom: [], invented: [], unread: [] },
  series: [],
  ended: [],
  disturbed: undefined,
} as unknown as Comings;

it('a refused write that was done is a failure, and a gateway that ended by itself is unexpected', () => {
  const concluded = (more: Partial<Comings>) => {
    const experiments = [comingAndGoingExperiment([{ ...COMINGS, ...more }])];
    return conclude({ experiments, gates: { voidBlocks: [], noiseFloor: '' } } as unknown as LabReport);
  };
  expect(concluded({})).toMatchObject({ outcome: 'pass', unexpected: [] });
  const invented = concluded({ durability: { ...COMINGS.durability, invented: ['r'] } });
  expect(invented).toMatchObject({ outcome: 'fail', reasons: [expect.stringContaining('1 writes done that had been refused')] });
  expect(concluded({ ended: ['gateway-2 ended by itself: exit code 7'] }).unexpected).toEqual([
    'services-scaled, 20 cycles out and in: gateway-2 ended by itself: exit code 7',
  ]);
});
