import type { CoreTimes } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import { generatorGate, MachineGate, refusal } from './gates.js';
import type { VoidBlock } from './results.js';

const generator = { latenessMs: { p50: 0.6, p99: 2, max: 9 }, sentOnScheduleShare: 0.999, cpuShare: 0.3 };

describe('generatorGate', () => {
  it('believes a generator that kept its schedule, and none that did not', () => {
    expect(generatorGate({ generator })).toBeUndefined();
    expect(generatorGate({ generator: { ...generator, latenessMs: { ...generator.latenessMs, p99: 10.1 } } })).toContain('generator late');
    expect(generatorGate({ generator: { ...generator, sentOnScheduleShare: 0.994 } })).toContain('99.40 % sent on schedule');
    expect(generatorGate({ generator: { ...generator, cpuShare: 0.81 } })).toContain('81 % of its core');
  });
});

describe('MachineGate', () => {
  /** A block of 10 s on two cores, of which the lab used 12 s. */
  const gate = (during: { jobMs?: number; stealMs?: number; othersMs?: number }, options?: { stealJudged: boolean }) => {
    let over = false;
    const machine = new MachineGate({
      calibrate: () => (over ? (during.jobMs ?? 10) : 10),
      cores: (): CoreTimes =>
        over
          ? { totalMs: 20_000, stealMs: during.stealMs ?? 0, busyMs: 12_000 + (during.othersMs ?? 0) }
          : { totalMs: 0, stealMs: 0, busyMs: 0 },
      ownMs: () => (over ? 12_000 : 0),
    });
    machine.begin();
    over = true;
    return machine.end(options);
  };

  it('lets a quiet block pass, and the first one too is held against something', () => {
    expect(gate({})).toBeUndefined();
    expect(gate({ jobMs: 11.4, stealMs: 900, othersMs: 1_900 })).toBeUndefined();
    expect(gate({ jobMs: 11.6 })).toBe('a fixed job took 11.6 ms instead of 10.0 ms');
  });

  it('voids for a machine that is faster than before, for stolen time and for other programs', () => {
    expect(gate({ jobMs: 8.4 })).toContain('a fixed job took 8.4 ms');
    expect(gate({ stealMs: 1_100 })).toContain('5.5 % of CPU time stolen');
    expect(gate({ stealMs: 1_100 }, { stealJudged: false })).toBeUndefined();
    expect(gate({ othersMs: 2_100 }, { stealJudged: false })).toContain('other programs used 11 %');
  });

  it('says nothing of what the system does not tell', () => {
    const machine = new MachineGate({ calibrate: () => 10, cores: () => undefined, ownMs: () => undefined });
    machine.begin();
    expect(machine.end()).toBeUndefined();
  });
});

describe('refusal', () => {
  const voids = (...blocks: Array<[number, VoidBlock['arm']]>) =>
    blocks.map(([block, arm]) => ({ experiment: 'panels', block, arm, why: '' }));

  it('refuses when more than 30 % of the blocks are void, several reasons of one block counting once', () => {
    expect(refusal(voids([0, 'machine'], [0, 'services'], [1, 'machine']), 8, 2)).toBeUndefined();
    expect(refusal(voids([0, 'machine'], [1, 'machine'], [2, 'machine']), 8, 2)).toContain('3 of 8 blocks are void');
  });

  it('refuses when one arm causes most of them: the gate would choose what is seen', () => {
    expect(refusal(voids([0, 'services'], [1, 'services']), 8, 2)).toContain('because of the services alone');
    expect(refusal(voids([0, 'services'], [1, 'monolith']), 8, 2)).toBeUndefined();
    expect(refusal(voids([0, 'services']), 7, 2)).toBeUndefined();
    expect(refusal(voids([0, 'monolith'], [1, 'monolith']), 14, 1)).toBeUndefined();
  });
});
