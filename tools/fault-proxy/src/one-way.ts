import type { Socket } from 'node:net';
import type { Clock } from '@diptych/kernel';
import type { OneWayFaults, OneWayTally } from './faults.js';
import { resetSocket } from './reset.js';

export interface OneWayOptions {
  readonly clock: Clock;
  /** Numbers from 0 to below 1. */
  readonly random: () => number;
  /** More than this, and one read of a socket, is never held: the source is not read until there is room. */
  readonly heldBytesMax: number;
  readonly tally: () => OneWayTally;
  /** The bytes that were allowed have passed, and were given to the destination. */
  readonly onCut: () => void;
}

/** What came in and has not gone out: bytes, or how the source ended. */
interface Held {
  readonly what: Buffer | 'end' | 'reset';
  readonly atMs: number;
  /** Its share of the jitter, from 0 to below 1; drawn once, so that a change of the jitter draws nothing again. */
  readonly luck: number;
  sent: number;
}

/** Chunks count too, or a source of single bytes would fill the memory with their bookkeeping. */
const CHUNKS_MAX = 4_096;
/** Written in pieces of this size at most, so that a full destination is noticed soon. */
const PIECE_BYTES_MAX = 16_384;
/** A thin wire wakes up as often as this when it has something to send. */
const PACE_MS = 5;
/** What a wire may catch up with after the process was late. */
const CATCH_UP_MS = 250;

/**
 * One direction of a connection: source → what is held → destination. The faults decide when the oldest thing held may go; nothing is
 * planned ahead, so that a change of them counts for what is held already.
 *
 * It waits for one thing at a time: a timer, room at the destination, or a change of the faults. `close` ends all three.
 */
export class OneWay {
  readonly #source: Socket;
  readonly #destination: Socket;
  readonly #options: OneWayOptions;
  readonly #held: Held[] = [];
  #faults: OneWayFaults;
  #heldBytes = 0;
  #timer: Disposable | undefined;
  #full = false;
  #over = false;
  /** Bytes that may still pass before the cut. */
  #untilCut: number;
  /** The account of a thin wire: bytes that may go now, and when it was last brought up to date. Undefined: nothing was waiting. */
  #account: { bytes: number; atMs: number } | undefined;

  constructor(source: Socket, destination: Socket, faults: OneWayFaults, options: OneWayOptions) {
    this.#source = source;
    this.#destination = destination;
    this.#options = options;
    this.#faults = faults;
    this.#untilCut = faults.cutAfterBytes ?? Infinity;
    source.on('data', (bytes: Buffer) => this.#take(bytes));
    source.on('end', () => this.#take('end'));
    source.on('close', (hadError) => {
      // After its end it may still be lost, when it no longer takes what it asked for.
      if (hadError || !source.readableEnded) this.#take('reset');
    });
    destination.on('drain', () => {
      this.#full = false;
      this.#pump();
    });
    destination.on('close', () => this.close());
  }

  /** Begins to read the source. */
  start(): void {
    this.#pump();
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  setFaults(faults: OneWayFaults): void {
    this.#faults = faults;
    this.#untilCut = faults.cutAfterBytes ?? Infinity;
    this.#account = undefined;
    this.#pump();
  }

  /** Drops what is held. The sockets are their owner's to end. */
  close(): void {
    this.#over = true;
    this.#held.length = 0;
    this.#heldBytes = 0;
    this.#timer?.[Symbol.dispose]();
  }

  #take(what: Held['what']): void {
    if (this.#over) return;
    const { clock, random } = this.#options;
    this.#held.push({ what, atMs: clock.nowMs(), luck: random(), sent: 0 });
    if (typeof what !== 'string') {
      this.#heldBytes += what.length;
      this.#options.tally().bytesIn += what.length;
    }
    this.#pump();
    if (this.#isFull(1)) this.#source.pause();
  }

  #isFull(share: number): boolean {
    return this.#heldBytes >= this.#options.heldBytesMax * share || this.#held.length >= CHUNKS_MAX * share;
  }

  #pump(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    while (!this.#over && !this.#faults.blackhole && !this.#full) {
      if (this.#untilCut === 0) {
        this.close();
        this.#options.onCut();
        return;
      }
      const waitMs = this.#next();
      if (waitMs === undefined) break;
      if (waitMs > 0) {
        this.#timer = this.#options.clock.after(waitMs, () => this.#pump());
        break;
      }
    }
    if (!this.#over && this.#source.isPaused() && !this.#isFull(0.5)) this.#source.resume();
  }

  /** Lets go of what may go now. @returns how long to wait for the next; undefined when nothing is held */
  #next(): number | undefined {
    const head = this.#held[0];
    if (!head) {
      this.#account = undefined;
      return undefined;
    }
    const { latencyMs = 0, jitterMs = 0 } = this.#faults;
    const earlyMs = head.atMs + latencyMs + head.luck * jitterMs - this.#options.clock.nowMs();
    if (earlyMs > 0) return earlyMs;
    if (typeof head.what === 'string') return this.#end(head.what);
    const left = Math.min(head.what.length - head.sent, PIECE_BYTES_MAX, this.#untilCut);
    const allowed = this.#allowed(left);
    if (allowed.bytes === 0) return allowed.waitMs;
    this.#send(head, head.what.subarray(head.sent, head.sent + allowed.bytes));
    return 0;
  }

  /** How many of `wanted` bytes a thin wire carries now, or when it carries some. */
  #allowed(wanted: number): { bytes: number; waitMs: number } {
    const { bytesPerSecond } = this.#faults;
    if (bytesPerSecond === undefined) return { bytes: wanted, waitMs: 0 };
    const nowMs = this.#options.clock.nowMs();
    const perMs = bytesPerSecond / 1000;
    // It begins empty, so that the first bytes take their time as well.
    const before = this.#account ?? { bytes: 0, atMs: nowMs };
    const bytes = Math.min(before.bytes + (nowMs - before.atMs) * perMs, Math.max(1, CATCH_UP_MS * perMs));
    const enough = Math.min(wanted, Math.max(1, Math.ceil(PACE_MS * perMs)));
    // A hair's breadth is forgiven, or rounding would make it wait for nothing again and again.
    const carried = bytes + 1e-6 >= enough ? Math.min(wanted, Math.floor(bytes + 1e-6)) : 0;
    this.#account = { bytes: bytes - carried, atMs: nowMs };
    return { bytes: carried, waitMs: carried > 0 ? 0 : (enough - bytes) / perMs };
  }

  #send(head: Held, bytes: Buffer): void {
    const tally = this.#options.tally();
    head.sent += bytes.length;
    this.#heldBytes -= bytes.length;
    this.#untilCut -= bytes.length;
    tally.bytesOut += bytes.length;
    if (head.sent === head.what.length) {
      this.#held.shift();
      const delayMs = this.#options.clock.nowMs() - head.atMs;
      tally.delayMsMin = tally.chunks === 0 ? delayMs : Math.min(tally.delayMsMin, delayMs);
      tally.delayMsMax = Math.max(tally.delayMsMax, delayMs);
      tally.delayMsSum += delayMs;
      tally.chunks++;
    }
    if (!this.#destination.write(bytes)) this.#full = true;
  }

  #end(how: 'end' | 'reset'): 0 {
    this.#held.shift();
    if (how === 'end') this.#destination.end();
    else resetSocket(this.#destination);
    return 0;
  }
}
