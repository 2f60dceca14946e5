import type { PortIdentity } from '../../port.js';
import { subjectOf } from '../../port.js';
import { takersOf } from './catalog.js';
import { lessLoaded } from './choice.js';
import type { LiveRoutes } from './live-routes.js';
import type { Member } from './member.js';
import type { Destination, Routes } from './routes.js';
import { queueGroupOf } from './routes.js';

/** Routes of one pattern, among instances of which each has patterns of its own. */
export class PatternRoutes implements Routes {
  readonly anyone: Destination;
  readonly #roster: LiveRoutes;
  readonly #subject: string;
  readonly #random: () => number;
  /** As they were when it was last looked who takes the pattern. */
  #open: readonly Member[] | undefined;
  #takers: readonly Member[] = [];

  /** @param roster of all patterns; it is not closed with this */
  constructor(port: PortIdentity, pattern: string, roster: LiveRoutes, random: () => number = Math.random) {
    this.anyone = queueGroupOf(port);
    this.#subject = subjectOf(port, pattern);
    this.#roster = roster;
    this.#random = random;
  }

  choose(): Destination {
    const { open } = this.#roster;
    if (open !== this.#open) {
      this.#open = open;
      const takers = new Set(takersOf(this.#roster.listening, this.#subject));
      this.#takers = open.filter((member) => takers.has(member));
    }
    return lessLoaded(this.#takers, this.#random) ?? this.anyone;
  }

  close(): void {
    this.#takers = [];
  }
}
