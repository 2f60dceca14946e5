import type { CallContext, Clock, Lifetime } from '@diptych/kernel';
import { DiptychError, systemClock, within } from '@diptych/kernel';
import type { Subscription } from '@diptych/messaging';
import { BeaconClock } from './beacon-clock.js';
import type { Commit, CommitEvent, LogPort, Position } from './log.port.js';
import { BEACON_PERIOD_MS, COMMITTED_LIMIT_MAX } from './log.port.js';
import { NO_INCARNATION } from './position-token.js';

export interface FollowHandlers {
  /**
   * The next commit. Every commit after the last resync comes exactly once, in order. When the follower's `delivery` is
   * `synchronous` this runs inside the log's own step, before the append resolves: be quick, and never throw.
   */
  onCommit(commit: Commit, position: Position): void;
  /**
   * History begins anew at `head`: forget everything held. Comes once at the start, before any commit, and again whenever the log
   * restarted its history or no longer knows what came after the follower's position.
   */
  onResync(head: Position): void;
  /** Commits were missed and are being fetched. For counting. */
  onGap?(): void;
}

export interface FollowOptions {
  /** Ends the follower when it closes. */
  readonly lifetime: Lifetime;
  readonly clock?: Clock;
  /** Default 0. */
  readonly partition?: number;
  /** Of one call to the log. Default 1,000. */
  readonly callTimeoutMs?: number;
  /** Events kept while catching up; later ones are dropped and fetched again. Default 10,000. */
  readonly bufferMax?: number;
  /** Why a call to the log failed. It is repeated anyway. */
  readonly onFailure?: (error: unknown) => void;
}

export interface Follower extends Disposable {
  /** Up to here everything was handed over. Undefined before the first resync. */
  readonly position: Position | undefined;
  /**
   * The latest instant on the clock's `nowMs` at which the follower is known to have had everything the log had: `now` when delivery
   * is synchronous and no gap is open, else the send time of the newest beacon that named the position, or the start of the newest call
   * that found nothing missing. -Infinity before the first resync. Data is at most `nowMs() - freshAtMs` old.
   */
  readonly freshAtMs: number;
  readonly delivery: Subscription['delivery'];
}

/**
 * Turns the log's at-most-once `commits` and its paged `committed` into one ordered stream without gaps.
 *
 * Each commit names its predecessor, so a missing one shows at the next commit, and at the latest at the next beacon. Then the follower
 * fetches what is missing, one call at a time, with backoff and for as long as it lives. Duplicates and late events are
 * ignored. The stream starts at the log's head: what was committed before is not replayed.
 *
 * Resolves when the subscription stands and the first attempt to find the head ended, well or not: a log that is down does not keep a
 * reader from starting, `position` is undefined until it answers. Starting two followers on one log is safe.
 *
 * @throws what `log.commits` throws
 */
export async function follow(log: LogPort, handlers: FollowHandlers, options: FollowOptions): Promise<Follower> {
  const stream = new CommitStream(log, handlers, options);
  await stream.start();
  return stream;
}

type Buffered = Extract<CommitEvent, { kind: 'commit' }>;

class CommitStream implements Follower {
  readonly #log: LogPort;
  readonly #handlers: FollowHandlers;
  readonly #options: FollowOptions;
  readonly #clock: Clock;
  readonly #partition: number;
  readonly #bufferMax: number;
  readonly #abort = new AbortController();
  readonly #beacons = new BeaconClock();
  #subscription: Subscription | undefined;
  #position: Position | undefined;
  #freshAtMs = -Infinity;
  /** Set while a fetch is under way: events wait here meanwhile. */
  #fetching: Promise<void> | undefined;
  #buffer: Buffered[] = [];
  #bufferOverflowed = false;
  #watch: Disposable | undefined;
  #waiting: { end: () => void } | undefined;

  constructor(log: LogPort, handlers: FollowHandlers, options: FollowOptions) {
    this.#log = log;
    this.#handlers = handlers;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#partition = options.partition ?? 0;
    this.#bufferMax = options.bufferMax ?? 10_000;
  }

  get position(): Position | undefined {
    return this.#position;
  }

  get delivery(): Subscription['delivery'] {
    return this.#subscription?.delivery ?? 'best-effort';
  }

  get freshAtMs(): number {
    if (this.delivery === 'synchronous' && this.#position && !this.#fetching && !this.#closed) return this.#clock.nowMs();
    return this.#freshAtMs;
  }

  get #closed(): boolean {
    return this.#abort.signal.aborted;
  }

  async start(): Promise<void> {
    // Subscribed before the head is asked for, so that nothing falls between the two.
    let onFirstAttempt: () => void = () => undefined;
    const firstAttempt = new Promise<void>((resolve) => (onFirstAttempt = resolve));
    this.#fetching = firstAttempt;
    this.#subscription = await this.#log.commits((event) => this.#onEvent(event));
    this.#options.lifetime.own('log follower', this);
    if (this.#subscription.delivery === 'best-effort')
      this.#watch = this.#clock.every(BEACON_PERIOD_MS * 2, () => this.#checkIfStale(), { unref: true });
    this.#fetch(onFirstAttempt);
    await firstAttempt;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#abort.abort(new DiptychError('CANCELLED', 'the follower was closed'));
    this.#watch?.[Symbol.dispose]();
    this.#subscription?.[Symbol.dispose]();
    this.#waiting?.end();
    this.#buffer = [];
  }

  #onEvent(event: CommitEvent): void {
    if (this.#closed) return;
    if (event.kind === 'beacon') this.#onBeacon(event.head, event.sentWallMs);
    else if (event.partition !== this.#partition) return;
    else if (this.#fetching && !this.#isNext(event)) this.#keep(event);
    else this.#offer(event);
  }

  /** What continues the stream is never held up, not even by a fetch. */
  #isNext({ incarnation, commit }: Buffered): boolean {
    const position = this.#position;
    return position !== undefined && incarnation === position.incarnation && commit.previous === position.revision;
  }

  #onBeacon(head: Position, sentWallMs: number): void {
    if (head.partition !== this.#partition) return;
    const sentAtMs = this.#beacons.sentAtMs(sentWallMs, this.#clock.nowMs());
    const position = this.#position;
    if (!position) return;
    const sameHistory = head.incarnation === position.incarnation;
    if (sameHistory && head.revision === position.revision) this.#freshAtMs = Math.max(this.#freshAtMs, sentAtMs);
    else if (this.#fetching) return;
    // A head below the position is an old beacon, or a log that came back shorter than it was: it proves nothing. The log is asked, and
    // a shorter one answers RESYNC.
    else if (!sameHistory || head.revision < position.revision) this.#fetch();
    else this.#openGap();
  }

  /** Takes the next commit, ignores a known one, and notices a missing one. */
  #offer(event: Buffered): void {
    const position = this.#position;
    if (!position || event.incarnation !== position.incarnation) return this.#fetchKeeping(event);
    if (event.commit.revision <= position.revision) return;
    if (event.commit.previous === position.revision) return this.#apply(event.commit);
    this.#keep(event);
    this.#openGap();
  }

  #apply(commit: Commit): void {
    this.#position = { incarnation: this.#position!.incarnation, partition: this.#partition, revision: commit.revision };
    this.#handlers.onCommit(commit, this.#position);
  }

  #keep(event: Buffered): void {
    if (this.#buffer.length < this.#bufferMax) this.#buffer.push(event);
    else this.#bufferOverflowed = true;
  }

  #openGap(): void {
    this.#handlers.onGap?.();
    this.#fetch();
  }

  #fetchKeeping(event: Buffered): void {
    this.#keep(event);
    this.#fetch();
  }

  /** Beacons that are late, or do not come at all, prove nothing: a call that was begun and answered since does. */
  #checkIfStale(): void {
    if (this.#fetching || this.#closed) return;
    if (this.#clock.nowMs() - this.#freshAtMs > BEACON_PERIOD_MS * 5) this.#fetch();
  }

  #fetch(onFirstAttempt?: () => void): void {
    const fetching = this.#fetchUntilLevel(onFirstAttempt).then(() => {
      if (this.#fetching === fetching) this.#fetching = undefined;
    });
    this.#fetching = fetching;
  }

  async #fetchUntilLevel(onFirstAttempt?: () => void): Promise<void> {
    for (let failures = 0; !this.#closed;) {
      const startedAtMs = this.#clock.nowMs();
      let level = false;
      try {
        level = await this.#fetchPage(startedAtMs);
        failures = 0;
      } catch (error) {
        if (this.#closed) return onFirstAttempt?.();
        this.#options.onFailure?.(error);
        failures++;
      }
      if (level) {
        this.#freshAtMs = Math.max(this.#freshAtMs, startedAtMs);
        // In the same step as the last event was taken, so that the next finds the stream live.
        this.#fetching = undefined;
        return onFirstAttempt?.();
      }
      onFirstAttempt?.();
      if (failures > 0) await this.#pause(Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(failures - 1, 10)));
    }
  }

  /** Fetches one page and takes the events that waited. True when nothing is known to be missing afterwards. */
  async #fetchPage(startedAtMs: number): Promise<boolean> {
    const after = this.#position ?? { incarnation: NO_INCARNATION, partition: this.#partition, revision: 0 };
    const page = await this.#log.committed({ after, limit: COMMITTED_LIMIT_MAX }, this.#context());
    if (this.#closed) return false;
    this.#beacons.prove(startedAtMs, page.sentWallMs);
    if (page.kind === 'resync') {
      this.#position = page.head;
      this.#handlers.onResync(page.head);
      return this.#takeBuffer();
    }
    for (const commit of page.commits) {
      if (commit.revision <= this.#position!.revision) continue;
      if (commit.previous !== this.#position!.revision) {
        // A page with a hole breaks the log's promise. Starting afresh is the one answer that is right whatever the reason.
        this.#position = undefined;
        throw new DiptychError('INTERNAL', `the log's page after revision ${after.revision} does not continue at ${commit.previous}`);
      }
      this.#apply(commit);
    }
    return this.#position!.revision >= page.head.revision && this.#takeBuffer();
  }

  #takeBuffer(): boolean {
    const events = this.#buffer.sort((a, b) => a.commit.revision - b.commit.revision);
    const complete = !this.#bufferOverflowed;
    this.#buffer = [];
    this.#bufferOverflowed = false;
    for (const { incarnation, commit } of events) {
      // Of another incarnation it is late, or so new that the next beacon tells of it.
      if (incarnation !== this.#position!.incarnation || commit.revision <= this.#position!.revision) continue;
      if (commit.previous !== this.#position!.revision) return false;
      this.#apply(commit);
    }
    return complete;
  }

  #context(): CallContext {
    return within(this.#options.callTimeoutMs ?? 1_000, { signal: this.#abort.signal, clock: this.#clock });
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(delayMs * (0.5 + Math.random() / 2), () => resolve(), { unref: true });
      this.#waiting = { end: () => (timer[Symbol.dispose](), resolve()) };
    });
  }
}

const BACKOFF_MS_MIN = 25;
const BACKOFF_MS_MAX = 1_000;
