import { systemClock, type Clock } from '@diptych/kernel';
import type { Message } from '../client/message.js';
import type { BeatState } from './beat.wire.js';
import { encodeBeat, LEASE_MS, membersSubject, parseAsk } from './beat.wire.js';
import type { Handled } from './catalog.js';
import { encodeCatalog } from './catalog.js';
import type { Line } from './live-routes.js';

export interface HeartbeatOptions {
  /** Of this process's link, unique among all. */
  readonly instance: string;
  /** Work begun and not finished. */
  readonly inFlight: () => number;
  /** What it handles, where each instance of the port handles something else. */
  readonly catalog?: readonly Handled[] | undefined;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/**
 * Tells whoever routes calls to a port that this instance serves it: at once when it starts, drains, is asked, or is connected anew, and then
 * every `PERIOD_MS`. With many instances each beats less often, so that a caller hears some 80 beats a second however many there are; and
 * `LEASE_MS` after the last ask, when nobody can be listening, it falls silent.
 */
export class Heartbeat {
  readonly #line: Line;
  readonly #instance: string;
  readonly #inFlight: () => number;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #subject: string;
  readonly #catalog: readonly Handled[] | undefined;
  #owned: Disposable[] = [];
  #timer: Disposable | undefined;
  #state: BeatState = 'serving';
  #isMoving = false;
  #sequence = 0;
  #leaseEndMs = 0;
  /** The most members that an asker knew, and when that was. */
  #members = 0;
  #membersMs = 0;

  constructor(port: { name: string; version: number }, line: Line, options: HeartbeatOptions) {
    this.#line = line;
    this.#instance = options.instance;
    this.#inFlight = options.inFlight;
    this.#catalog = options.catalog;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#subject = membersSubject(port);
  }

  /** Call it when calls addressed to the instance arrive. */
  start(): void {
    this.#owned = [
      this.#line.subscribe(`${this.#subject}.ask`, (message) => this.#answerAsk(message)),
      this.#line.subscribe(`${this.#subject}.alive.${this.#instance}`, ({ reply }) => this.#publish(reply)),
      this.#line.onStatus((status) => {
        this.#isMoving = false;
        if (status === 'connected') this.#beat();
      }),
    ];
    if (this.#catalog)
      this.#owned.push(this.#line.subscribe(`${this.#subject}.catalog.${this.#instance}`, ({ reply }) => this.#answerCatalog(reply)));
    this.#leaseEndMs = this.#clock.nowMs() + LEASE_MS;
    this.#beat();
  }

  /** Says that no new calls shall come. Call it before unsubscribing. Beats go on: those who wait for answers want to know that it is there. */
  drain(): void {
    if (this.#owned.length === 0 || this.#state !== 'serving') return;
    this.#state = 'draining';
    this.#beat();
  }

  /** As `drain`, but only until it is connected anew. */
  move(): void {
    if (this.#owned.length === 0) return;
    this.#isMoving = true;
    this.#beat();
  }

  /** Says that nobody is here any more. Safe to repeat, and before `start`. */
  end(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    if (this.#owned.length === 0) return;
    for (const owned of this.#owned.splice(0)) owned[Symbol.dispose]();
    this.#state = 'left';
    this.#publish(this.#subject);
  }

  #answerAsk({ data, reply }: Message): void {
    const nowMs = this.#clock.nowMs();
    const members = parseAsk(data);
    if (members >= this.#members || nowMs - this.#membersMs > LEASE_MS) {
      this.#members = members;
      this.#membersMs = nowMs;
    }
    this.#leaseEndMs = nowMs + LEASE_MS;
    if (reply) this.#publish(reply);
    if (!this.#timer) this.#beat();
  }

  #answerCatalog(reply: string | undefined): void {
    if (reply) this.#send(reply, encodeCatalog({ instance: this.#instance, handled: this.#catalog! }));
  }

  #beat(): void {
    this.#publish(this.#subject);
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    if (this.#clock.nowMs() >= this.#leaseEndMs) return;
    // Up to a tenth more or less, so that instances that were started together do not beat together.
    this.#timer = this.#clock.after(this.#periodMs * (0.9 + 0.2 * this.#random()), () => this.#beat());
  }

  get #periodMs(): number {
    return Math.min(PERIOD_MS_MAX, PERIOD_MS * Math.max(1, this.#members / MEMBERS_AT_PERIOD));
  }

  #publish(subject: string | undefined): void {
    if (!subject || this.#line.status !== 'connected') return;
    const beat = {
      instance: this.#instance,
      state: this.#isMoving && this.#state === 'serving' ? 'draining' : this.#state,
      sequence: (this.#sequence = (this.#sequence + 1) >>> 0),
      inFlight: this.#inFlight(),
      periodMs: this.#periodMs,
      leaseMs: this.#leaseEndMs - this.#clock.nowMs(),
    };
    this.#send(subject, encodeBeat(beat));
  }

  #send(subject: string, frame: Uint8Array): void {
    try {
      this.#line.publish(subject, frame);
    } catch {
      // The connection was lost just now: the next beat says it, and who wants to know the catalog asks again.
    }
  }
}

const PERIOD_MS = 200;
const PERIOD_MS_MAX = 2_000;
/** Up to so many members each beats every `PERIOD_MS`. */
const MEMBERS_AT_PERIOD = 16;
