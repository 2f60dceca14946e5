import { describe, expect, it } from 'vitest';
import { CONTRAST, reportOf } from '../test/made-up.js';
import { conclude } from './conclusion.js';
import { unexpectedOf } from './experiments/ladder/cost-ladder.js';
import { page } from './report/page.js';
import type { Contrast, Experiment, Run } from './results.js';

const run: Run = {
  block: 0,
  order: 0,
  arm: 'services',
  label: 'services, log killed',
  valid: true,
  metrics: { acknowledgedWrites: 100, acknowledgedWritesLost: 0, phantomValues: 0 },
  series: [{ second: 0, offered: { hit: 10 }, good: { hit: 9 }, p99Ms: 3 }],
  fault: { kind: 'kill', part: 'log', fromSecond: 0.2, toSecond: 0.8, proof: 'SIGKILL' },
  steady: true,
};
const experiment: Experiment = {
  id: 'crash',
  title: 'Crash <of> a part',
  claim: '',
  expectation: '',
  caveat: '',
  runs: [run],
  contrasts: [],
  findings: ['a finding'],
  survival: [{ arm: 'services', killed: 'log', capability: 'hit', expected: 'survives', seen: 'survives', availability: 1 }],
};
describe('conclude', () => {
  const hopTax: Experiment = { ...experiment, id: 'hop-tax', title: 'Hop tax', runs: [], contrasts: [CONTRAST], survival: [] };

  it('passes when what was expected holds, and names who held up better where', () => {
    const [cell] = experiment.survival!;
    const gone = { ...cell!, arm: 'monolith', killed: 'monolith', expected: 'fails', seen: 'fails' } as const;
    const { outcome, sentences } = conclude(reportOf(hopTax, { ...experiment, survival: [cell!, gone] }));
    expect(outcome).toBe('pass');
    expect(sentences[0]).toContain('with the log killed and away for 0.6 s, hit went on');
    expect(sentences[1]).toContain('(services over monolith, 95 % interval): median latency 1.50 (1.40–1.60), better');
    expect(sentences[2]).toBe('Something can be said of everything that was compared.');
  });

  it('fails on one acknowledged write lost, on one invented value, and on a table that is wrong in either direction', () => {
    for (const figure of ['acknowledgedWritesLost', 'phantomValues', 'refusedWritesDone', 'wrongAnswers']) {
      expect(conclude(reportOf({ ...experiment, runs: [{ ...run, metrics: { ...run.metrics, [figure]: 1 } }] })).outcome).toBe('fail');
    }
    const [cell] = experiment.survival!;
    expect(conclude(reportOf({ ...experiment, survival: [{ ...cell!, seen: 'fails' }] })).outcome).toBe('fail');
    expect(conclude(reportOf({ ...experiment, survival: [{ ...cell!, expected: 'fails' }] })).outcome).toBe('fail');
  });

  it('fails when a part does not come back, though its run is void for another reason', () => {
    const gone = { ...run, valid: false, metrics: { ...run.metrics, cameBack: 0 } };
    expect(conclude(reportOf({ ...experiment, runs: [gone] }))).toMatchObject({ outcome: 'fail' });
  });

  it('cannot say when keys could not be read back, or a capability was not seen while the part was away', () => {
    const unread = [{ ...run, metrics: { ...run.metrics, unreadKeys: 3 } }];
    for (const id of ['crash', 'coming-and-going'])
      expect(conclude(reportOf({ ...experiment, id, runs: unread })).outcome).toBe('cannot say');
    const [cell] = experiment.survival!;
    expect(conclude(reportOf({ ...experiment, survival: [{ ...cell!, seen: 'not measured' }] })).outcome).toBe('cannot say');
  });

  it('does not praise an arm for what the other kept as well', () => {
    const [cell] = experiment.survival!;
    const both = conclude(reportOf({ ...experiment, survival: [cell!, { ...cell!, arm: 'monolith', killed: 'monolith' }] }));
    expect(both.sentences[0]).toBe('The services held up better nowhere in this run.');
  });

  it('does not praise an arm for its crash where the other’s is void or was not seen', () => {
    const [cell] = experiment.survival!;
    expect(conclude(reportOf(experiment)).sentences[0]).toBe('The services held up better nowhere in this run.');
    const unseen = { ...cell!, arm: 'monolith', killed: 'monolith', expected: 'fails', seen: 'not measured' } as const;
    expect(conclude(reportOf({ ...experiment, survival: [cell!, unseen] })).sentences[0]).toContain('nowhere');
  });

  it('says nothing of who held up better where nothing is compared', () => {
    const { survival: _nothing, ...alone } = experiment;
    expect(conclude(reportOf({ ...alone, id: 'coming-and-going' }))).toMatchObject({ outcome: 'pass', sentences: [] });
    expect(conclude(reportOf()).sentences).toHaveLength(3);
  });

  it('says what is not as expected, which alone is no failure', () => {
    const concludedWith = (change: Partial<Contrast>) =>
      conclude(reportOf({ ...hopTax, runs: [run], contrasts: [{ ...CONTRAST, expected: 'monolith', ...change }] }));
    expect(concludedWith({})).toMatchObject({ outcome: 'pass', unexpected: [] });
    expect(concludedWith({ winner: 'services' })).toMatchObject({
      outcome: 'pass',
      unexpected: ['median latency: services better, expected the monolith'],
    });
    expect(concludedWith({ winner: undefined, verdict: 'equal for practical purposes' }).unexpected).toHaveLength(1);
    expect(concludedWith({ winner: undefined, verdict: 'inconclusive' }).unexpected).toEqual([]);
    expect(concludedWith({ winner: 'services', expected: undefined }).unexpected).toEqual([]);
    expect(conclude(reportOf({ ...experiment, unexpected: ['a surprise'] })).unexpected).toEqual(['a surprise']);
  });

  it('knows a cost ladder whose steps are not as expected', () => {
    const ladder = (encodedUs: number, hopUs: number) =>
      unexpectedOf((rung) => ({ 'in-process': 1, 'encoded, same process': encodedUs, NATS: hopUs })[rung]);
    expect(ladder(8, 90)).toEqual([]);
    expect(ladder(8, 20)).toEqual(['the hop cost 2 times the encoding, expected 5 to 50']);
    expect(ladder(1, 90)).toEqual(['encoding cost 0.0 µs a call, expected 1 to 20']);
  });

  it('cannot say of a run in which nothing was measured', () => {
    expect(conclude(reportOf())).toMatchObject({ outcome: 'cannot say', reasons: ['nothing was measured'] });
    expect(conclude(reportOf({ ...experiment, runs: [], survival: [] })).outcome).toBe('cannot say');
  });

  it('says that six blocks are indicative, and of twelve nothing', () => {
    expect(conclude(reportOf(hopTax)).notes.join(' ')).toContain('6 blocks are indicative');
    expect(conclude(reportOf({ ...hopTax, contrasts: [{ ...CONTRAST, blocks: 12 }] })).notes.join(' ')).not.toContain('indicative');
  });

  it('cannot say after an interruption, without enough blocks, or when a fault was not injected', () => {
    expect(conclude({ ...reportOf(hopTax), interrupted: 'stopped' }).outcome).toBe('cannot say');
    expect(conclude(reportOf({ ...hopTax, contrasts: [{ ...CONTRAST, verdict: 'no verdict', winner: undefined }] })).outcome).toBe(
      'cannot say',
    );
    expect(conclude(reportOf({ ...experiment, runs: [{ ...run, valid: false }], survival: [] })).outcome).toBe('cannot say');
  });
});

it('makes one page that loads nothing, runs nothing and escapes what it is given', () => {
  const whole = reportOf(experiment);
  const html = page(whole, { ...conclude(whole), unexpected: ['<this>'] });
  expect(html).toContain('Not as expected: &#60;this&#62;');
  expect(html).toContain('<h2>Crash &#60;of&#62; a part</h2>');
  expect(html).toContain('<svg');
  expect(html).not.toMatch(/<script|(?:src|href)="(?!#)/);
});
