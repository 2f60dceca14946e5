import type { ArmName, Capability, PartName } from './dependency-table.js';

/**
 * What one invocation of the lab found, in one file (`results.json`, format `lab-report/1`), from which table, report and any
 * recomputation are made. Times are milliseconds unless the name says otherwise; rates are per second.
 */
export interface LabReport {
  readonly format: 'lab-report/1';
  readonly meta: Meta;
  readonly gates: Gates;
  readonly experiments: readonly Experiment[];
  /** Set when the run ended early; what is here was measured all the same. */
  readonly interrupted?: string | undefined;
}

export interface Gates {
  readonly voidBlocks: readonly VoidBlock[];
  /** Why nothing is compared although there are figures: too many blocks were void, or one arm caused most of them. */
  readonly refused?: string | undefined;
  /** What the monolith's comparison with itself on this machine made of the margins, in words. */
  readonly noiseFloor: string;
}

export interface Meta {
  /** What was asked for, for example `compare`. */
  readonly command: string;
  /** SHA-256 over everything that was decided before the run: sizes, workloads, measures, margins. Equal hashes measured the same. */
  readonly planHash: string;
  readonly replay: string;
  readonly startedAt: string;
  readonly seconds: number;
  readonly seed: number;
  readonly commit: string;
  readonly dirty: boolean;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly kernel: string;
    readonly platform: string;
  };
  readonly versions: { readonly node: string; readonly nats: string };
  /** Where the system and the generator ran, in words: pinned cores, shared cores. */
  readonly profile: string;
}

export interface VoidBlock {
  readonly experiment: string;
  readonly block: number;
  /** Whose run gave the reason; `machine`: nobody's. */
  readonly arm: ArmName | 'machine';
  /** Which gate, with its figure: `generator late: p99 14.2 ms > 10 ms`. */
  readonly why: string;
}

export interface Experiment {
  readonly id: string;
  readonly title: string;
  /** What people say, in one sentence. */
  readonly claim: string;
  /** What we expected before running, and said so. */
  readonly expectation: string;
  /** What this experiment cannot say. */
  readonly caveat: string;
  readonly runs: readonly Run[];
  /** The first is the primary, the others describe. Empty when the experiment carries no comparison. */
  readonly contrasts: readonly Contrast[];
  /** One sentence a figure, for findings that are no paired contrast. */
  readonly findings: readonly string[];
  /** What was seen otherwise than expected, of what is no paired contrast and no capability. */
  readonly unexpected?: readonly string[] | undefined;
  /** Committed expectation against what was seen: capability by capability. */
  readonly survival?: readonly SurvivalCell[] | undefined;
}

/** One arm, started afresh, under one workload. */
export interface Run {
  readonly block: number;
  /** Place within its block, from 0: arms are in random order. */
  readonly order: number;
  readonly arm: ArmName;
  readonly label: string;
  readonly valid: boolean;
  /** Named figures, units last: `p50Ms`, `cpuMsPer1000Good`, `rssBytes`. Missing: could not be measured. */
  readonly metrics: Readonly<Record<string, number>>;
  /** One point a second of schedule. */
  readonly series: readonly SeriesPoint[];
  readonly fault?: Fault | undefined;
  /** Of an arm that was scaled: how many instances of each part there were, second by second, and under `needed` how many it took. */
  readonly instances?: Readonly<Record<string, readonly number[]>> | undefined;
  /** Whether the warm-up ended in a steady state; undefined: not looked at. */
  readonly steady?: boolean | undefined;
}

export interface SeriesPoint {
  /** Seconds since the first scheduled request. */
  readonly second: number;
  readonly offered: Readonly<Partial<Record<Capability, number>>>;
  readonly good: Readonly<Partial<Record<Capability, number>>>;
  readonly p99Ms: number | null;
}

export interface Fault {
  readonly kind: 'kill';
  readonly part: PartName;
  /** Seconds since the first scheduled request. */
  readonly fromSecond: number;
  /** When it was taken away again: the supervisor started the part anew. */
  readonly toSecond: number;
  /** That it really happened: exit signal seen, and no process left by that id. */
  readonly proof: string;
}

export type Verdict = 'better' | 'slightly better' | 'equal for practical purposes' | 'inconclusive' | 'no verdict';

/** What is compared and how, declared before the run. */
export interface ContrastPlan {
  readonly metric: string;
  /** The metric in words. */
  readonly label: string;
  readonly unit: string;
  readonly a: ArmName;
  readonly b: ArmName;
  /** `ratio` for positive figures (paired log-ratios); `difference` for those that can be 0 or 1. */
  readonly scale: 'ratio' | 'difference';
  readonly better: 'smaller' | 'larger';
  /** The smallest effect worth acting on, declared before the run: 1.1 for 10 %, 0.01 for one point; more where the machine sees no better. */
  readonly margin: number;
  /** Which arm was expected to be better; undefined: nothing was expected. */
  readonly expected?: ArmName | undefined;
}

export interface Contrast extends ContrastPlan {
  /** Set when the margin is not the declared one but, being larger, the noise floor of the machine. */
  readonly byNoise?: boolean | undefined;
  /** Of a against b: 1 (ratio) or 0 (difference) is no difference. */
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
  readonly blocks: number;
  /** Exact, two-sided; of this contrast by itself. */
  readonly pValue: number;
  /** Of a primary: corrected for all primaries of the report by Holm's method. */
  readonly pHolm?: number | undefined;
  readonly verdict: Verdict;
  /** Which arm the verdict favours, if any. */
  readonly winner?: ArmName | undefined;
  readonly sentence: string;
}

export interface SurvivalCell {
  readonly arm: ArmName;
  readonly killed: PartName;
  readonly capability: Capability;
  /** Which part of the absence this is of; undefined: all of it. */
  readonly when?: string | undefined;
  readonly expected: 'survives' | 'fails';
  readonly seen: 'survives' | 'fails' | 'not measured';
  /** Good over offered in the whole seconds of that time, 0 to 1. */
  readonly availability: number | null;
}
