import type { Profile } from '@diptych/testing';
import type { Progress } from '../progress.js';
import type { MachineSigns } from '../gates.js';
import type { VoidBlock } from '../results.js';
import type { StartArm } from '../running-arm.js';

/** What every experiment is given. */
export interface LabContext {
  readonly seed: number;
  readonly startArm: StartArm;
  readonly profile: Profile;
  /** Aborted by Ctrl-C: the experiment ends what it started and returns what it has. */
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** Histories and whatever else is too large for the report. */
  readonly runDir: string;
  readonly voidBlocks: VoidBlock[];
  /** What the gates look at, where it is not this machine and the lab's own processes alone. */
  readonly signs?: Partial<MachineSigns>;
}
