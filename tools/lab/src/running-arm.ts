import type { Usage } from '@diptych/testing';
import type { ArmName, PartName } from './dependency-table.js';

/** One arm with fresh processes, as the experiments see it: an address, what it costs, and a way to break it. */
export interface RunningArm {
  readonly name: ArmName;
  readonly url: string;
  /** From the start of its first process to the first good answer. */
  readonly firstGoodReplyMs: number;
  readonly processes: number;
  /** Listening ports. */
  readonly ports: number;
  /** Environment variables that had to be set so that the parts work together. */
  readonly settings: number;
  /** Of the whole arm, broker included, and of what was killed of it. */
  usage(): Usage | Promise<Usage>;
  /** The part of `usage` that costs next to nothing to ask. */
  cpuMs(): number | undefined | Promise<number | undefined>;
  /** SIGKILL, to a process that ran until then. */
  kill(part: PartName): Promise<Injection>;
  /** Starts a killed part anew, at its old address; resolves when it says that it is ready. */
  restart(part: PartName): Promise<void>;
  /** Ends everything and removes what it wrote. Safe to repeat. */
  stop(): Promise<void>;
}

/** Whether a part was really killed: what the operating system said of its end, or why that proves nothing. */
export type Injection = { readonly proof: string } | { readonly whyNot: string };

/** Aborting the signal ends the start; what was started is ended then. */
export type StartArm = (arm: ArmName, signal: AbortSignal) => Promise<RunningArm>;
