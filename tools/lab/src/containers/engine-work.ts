import { readdirSync, readFileSync } from 'node:fs';
import { cpuMsOfOwnAndEnded } from '@diptych/testing';

/** What forwards connections is a child of dockerd, and what checks health one of a shim: each counts with them when it has ended. */
const ENGINE = /^(dockerd|containerd|containerd-shim.*)$/;

/**
 * Processor time of the container engine of this machine: what it takes to start, stop, check and forward to containers is the lab's own doing, and no
 * disturbance of it. A shim ends with its container, so what it had used is kept from when it was last seen.
 */
export class EngineWork {
  readonly #seenMs = new Map<number, number>();

  constructor() {
    this.look();
  }

  /** Only differences say something. Nothing where the engine is not on this machine. */
  get cpuMs(): number {
    this.look();
    return [...this.#seenMs.values()].reduce((sum, each) => sum + each, 0);
  }

  /** To be called before containers are ended. */
  look(): void {
    for (const pid of processes()) {
      if (ENGINE.test(nameOf(pid))) this.#seenMs.set(pid, Math.max(this.#seenMs.get(pid) ?? 0, cpuMsOfOwnAndEnded(pid) ?? 0));
    }
  }
}

function processes(): number[] {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
