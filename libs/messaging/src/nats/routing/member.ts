import type { PortIdentity } from '../../port.js';
import { addressOf } from '../../port.js';
import type { Handled } from './catalog.js';
import { hashOf } from './choice.js';
import type { Members } from './members.js';
import type { Destination } from './routes.js';
import { CANCEL_METHOD } from './routes.js';

/** One instance, as a destination. Its fields from `sequence` on belong to `Members`, but for the last two. */
export class Member implements Destination {
  readonly hash: number;
  readonly cancelSubject: string;
  outstanding = 0;
  sequence = -1;
  heardMs = 0;
  periodMs = 0;
  leaseEndMs = 0;
  /** Of silence, since it was last heard. */
  rounds = 0;
  /** It said that it left, or the broker refused a call for it, and it was not asked since. */
  doubted = false;
  /** When it was last asked whether it is there. */
  askedMs = Number.NEGATIVE_INFINITY;
  leaving = false;
  ejected = false;
  /** Which patterns it handles, once it has said so; only of ports that are many services at once. */
  handles: readonly Handled[] | undefined;
  /** When it was last asked that. */
  catalogAskedMs = Number.NEGATIVE_INFINITY;
  readonly #port: PortIdentity;
  readonly #members: Members;
  readonly #subjects = new Map<string, string>();
  #usualRounds = 0;
  #learnedMs = 0;

  constructor(
    port: PortIdentity,
    readonly instance: string,
    members: Members,
  ) {
    this.#port = port;
    this.#members = members;
    this.hash = hashOf(instance);
    this.cancelSubject = this.subjectOf(CANCEL_METHOD);
  }

  subjectOf(method: string): string {
    let subject = this.#subjects.get(method);
    if (subject !== undefined) return subject;
    if (this.#subjects.size >= SUBJECTS_MAX) this.#subjects.clear();
    this.#subjects.set(method, (subject = `${addressOf(this.#port, method)}.${this.instance}`));
    return subject;
  }

  answered(): void {
    this.#members.alive(this);
  }

  refused(): void {
    this.#members.refused(this);
  }

  forbidden(): void {
    this.#members.forbidden();
  }

  /** From then on it has broken its word: half a period is for jitter and the way. */
  get doubtMs(): number {
    return this.heardMs + this.periodMs * 1.5;
  }

  /** So many that it is out 600 ms after the beat it promised: within a second of the last one, at the shortest period. */
  get roundsPromised(): number {
    return Math.max(ROUNDS_MIN, 1 + Math.ceil((OVERDUE_MS - this.periodMs / 2) / ROUND_MS));
  }

  /** The longest silence that it came back from, fading by half in 30 s. */
  usualRounds(nowMs: number): number {
    return this.#usualRounds * 2 ** ((this.#learnedMs - nowMs) / LEARNED_HALF_LIFE_MS);
  }

  learn(rounds: number, nowMs: number): void {
    if (rounds <= this.usualRounds(nowMs)) return;
    this.#usualRounds = rounds;
    this.#learnedMs = nowMs;
  }
}

/** Between the beginnings of two rounds, at least. */
export const ROUND_MS = 100;
const OVERDUE_MS = 600;
const ROUNDS_MIN = 3;
const LEARNED_HALF_LIFE_MS = 30_000;
/** Of a port that is all Nest patterns: these may be made up of data. */
const SUBJECTS_MAX = 1_000;
