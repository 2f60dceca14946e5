import type { Clock } from '@diptych/kernel';
import type { PortIdentity } from '../../port.js';
import type { Beat } from './beat.wire.js';
import type { Handled } from './catalog.js';
import { lessLoaded, ownerOf } from './choice.js';
import { Member } from './member.js';

/**
 * The instances of one port, as far as this process knows them, and which of them take calls. No I/O, and no timer: it is told.
 *
 *             a beat                     in doubt for `roundsAllowed`, and not too many are out
 *   unknown ──────────▶ serving ────────────────────────────────────────────────────────▶ ejected
 *                       │  ▲  ▲─────────────── anything heard from it ───────────────────────┘
 *     it says so, or    │  │
 *     the broker refuses▼  │ a beat that says "serving"
 *                     leaving ──── the broker says that nobody is at its address ────▶ gone (from any state)
 *
 * *Leaving* and *gone* are facts: the instance or the broker said so. *Ejected* is a guess from silence, and so is hedged:
 *
 * - **Silence is counted in rounds, not in time.** A round is: our loop turns, asks the broker for an echo on the connection that beats come by, gets
 *   it, and has not heard the member. Whatever the broker had for us before the echo was read before the echo. So a loop of ours that was
 *   blocked, a GC pause, a stopped process, a backlog in our socket, a broker that is slow or gone make no rounds, or one, however long they
 *   last; and where processors are short, our own rounds take as long as everybody's. It is what Lifeguard (Dadgar et al., 2018) calls local
 *   health awareness, with our own progress as the measure in place of a score.
 * - **Silence is relative.** While no other member is heard, nobody is ejected: what they share is likelier than that all failed at once.
 * - **What is usual is learned**, as accrual detectors do (Hayashibara et al., 2004): a member, or its peers, that were lately silent for some rounds
 *   and came back are allowed twice as many.
 * - **Never the last one, nor more than half** are ejected (Envoy's `max_ejection_percent`): if more are silent, the longest silent are out.
 *
 * A slow handler is no evidence: whether a member answers calls in time is for breakers; that its outstanding calls grow already steers calls away.
 */
export class Members {
  readonly #port: PortIdentity;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #onDoubt: () => void;
  readonly #onLost: (member: Member) => void;
  readonly #members = new Map<string, Member>();
  /** Those that calls may go to. Made anew when it changes, so that choosing only reads. */
  #open: readonly Member[] = [];
  #isForbidden = false;
  /** Guesses so far, right ones too. */
  ejections = 0;

  /**
   * @param options.onDoubt somebody is in doubt for another reason than time: look now
   * @param options.onLost nobody is at its address any more: what is outstanding there will not be answered
   */
  constructor(port: PortIdentity, options: { clock: Clock; random: () => number; onDoubt: () => void; onLost: (member: Member) => void }) {
    this.#port = port;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#onDoubt = options.onDoubt;
    this.#onLost = options.onLost;
  }

  /** Those that drain or are ejected included. */
  get size(): number {
    return this.#members.size;
  }

  get ejected(): number {
    if (this.#open.length === this.#members.size) return 0;
    return [...this.#members.values()].filter((member) => member.ejected).length;
  }

  /** The member for a call: the owner of its key, or the less loaded of two. Undefined when none is known to take calls. */
  choose(routingKey: string | undefined): Member | undefined {
    return routingKey === undefined ? lessLoaded(this.#open, this.#random) : ownerOf(this.#open, routingKey);
  }

  /** Those that calls may go to. Another list whenever it changes, or what one of them handles. */
  get open(): readonly Member[] {
    return this.#open;
  }

  /** Those that listen, the silent ones included. */
  get listening(): Member[] {
    return [...this.#members.values()].filter((member) => !member.leaving);
  }

  /** A beat came. Gives back whose, if that is a member. */
  heard(beat: Beat): Member | undefined {
    let member = this.#members.get(beat.instance);
    if (!member) {
      if (beat.state !== 'serving' || this.#members.size >= MEMBERS_MAX) return undefined;
      member = new Member(this.#port, beat.instance, this);
      this.#members.set(beat.instance, member);
      this.#reopen();
    } else if (!isNewer(beat.sequence, member.sequence)) return member;
    member.sequence = beat.sequence;
    member.periodMs = beat.periodMs;
    member.leaseEndMs = this.#clock.nowMs() + beat.leaseMs;
    const leaving = beat.state !== 'serving';
    if (member.leaving !== leaving) {
      member.leaving = leaving;
      this.#reopen();
    }
    this.alive(member);
    if (beat.state === 'left') this.#doubt(member);
    return member;
  }

  /** It said which patterns it handles. */
  handles(instance: string, handled: readonly Handled[]): void {
    const member = this.#members.get(instance);
    if (!member) return;
    member.handles = handled;
    this.#reopen();
  }

  /** @internal Anything came from it. */
  alive(member: Member): void {
    const nowMs = this.#clock.nowMs();
    member.heardMs = nowMs;
    if (member.rounds === 0) return;
    if (!member.ejected) member.learn(member.rounds, nowMs);
    member.rounds = 0;
    member.ejected = false;
    this.#judge(nowMs);
  }

  /** @internal The broker refused a call for it: it takes none now, and perhaps is no longer there. */
  refused(member: Member): void {
    if (this.#members.get(member.instance) !== member) return;
    if (!member.leaving) {
      member.leaving = true;
      this.#reopen();
    }
    this.#doubt(member);
  }

  /**
   * @internal This process may not publish to single instances: all calls go to the queue group, as long as the connection lasts. So permissions that
   * name the subjects of methods, and not what follows them, are enough.
   */
  forbidden(): void {
    this.#isForbidden = true;
    this.#reopen();
  }

  /** The broker says that nobody is at the address of the instance. Safe to repeat. */
  gone(instance: string): void {
    const member = this.#members.get(instance);
    if (!member) return;
    this.#members.delete(instance);
    this.#reopen();
    this.#onLost(member);
  }

  /** Nothing is known any more, as after a lost connection, with which whatever was outstanding was lost too. */
  forgetAll(): void {
    this.#members.clear();
    this.#isForbidden = false;
    this.#open = [];
  }

  /** Those that broke their word, or about whom there was word: to be asked whether they are there. */
  inDoubt(nowMs: number): Member[] {
    return [...this.#members.values()].filter((member) => member.doubted || nowMs >= member.doubtMs);
  }

  /** When the first of those that are not in doubt will be, unless it is heard before. */
  nextDoubtMs(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const { doubtMs } of this.#members.values()) if (doubtMs > nowMs) nextMs = Math.min(nextMs, doubtMs);
    return nextMs;
  }

  /** The soonest end of a lease of those that are heard. */
  get leaseEndMs(): number {
    let endMs = Number.POSITIVE_INFINITY;
    for (const { rounds, leaving, leaseEndMs } of this.#members.values()) if (rounds === 0 && !leaving) endMs = Math.min(endMs, leaseEndMs);
    return endMs;
  }

  /** The echo of a round that began at `startedMs` has come back. Those who were in doubt then and were not heard since are silent for one more round. */
  roundPassed(startedMs: number): void {
    const nowMs = this.#clock.nowMs();
    for (const member of this.#members.values()) {
      if (startedMs < member.doubtMs) continue;
      member.rounds++;
      if (nowMs - member.heardMs > FORGET_MS) this.#members.delete(member.instance);
    }
    this.#judge(nowMs);
  }

  /** Who is out. Those that are stay so until they are heard, unless they would be too many. */
  #judge(nowMs: number): void {
    const serving = [...this.#members.values()].filter((member) => !member.leaving);
    const someoneIsHeard = [...this.#members.values()].some((member) => member.rounds === 0);
    const max = Math.floor(serving.length / 2);
    const silent = serving
      .filter((member) => member.ejected || (someoneIsHeard && member.rounds >= this.#roundsAllowed(member, serving, nowMs)))
      .sort((a, b) => a.heardMs - b.heardMs);
    for (const [i, member] of silent.entries()) {
      if (!member.ejected && i < max) this.ejections++;
      member.ejected = i < max;
    }
    this.#reopen();
  }

  /** A tenth of a second each. What was usual lately counts twice: its own pauses, or those of the median of its peers. */
  #roundsAllowed(member: Member, serving: readonly Member[], nowMs: number): number {
    const peers = serving.filter((peer) => peer !== member).map((peer) => peer.usualRounds(nowMs));
    const usual = Math.max(member.usualRounds(nowMs), peers.sort((a, b) => a - b)[Math.floor((peers.length - 1) / 2)] ?? 0);
    return Math.min(ROUNDS_MAX, Math.max(member.roundsPromised, Math.ceil(2 * usual)));
  }

  #doubt(member: Member): void {
    if (member.doubted) return;
    member.doubted = true;
    this.#onDoubt();
  }

  #reopen(): void {
    this.#open = this.#isForbidden ? [] : [...this.#members.values()].filter((member) => !member.leaving && !member.ejected);
  }
}

const ROUNDS_MAX = 20;
/** A member that was silent for so long is forgotten; if it was only stopped, its next beat makes it known again. */
const FORGET_MS = 60_000;
const MEMBERS_MAX = 256;

/** In the circle of 32-bit numbers, so that a counter may wrap. */
function isNewer(sequence: number, than: number): boolean {
  return than === -1 || ((sequence - than) | 0) > 0;
}
