import { systemClock, toDiptychError } from '@diptych/kernel';
import { recycle } from '../codec.js';
import type { Part } from '../part.js';
import type { Connection } from './connection.js';
import { Lane } from './lane.js';
import type { PendingCall } from './pending-call.js';
import type { Destination } from './routing/routes.js';
import { ALONE_BYTES, REQUEST_ROOM_BYTES, sealRequests, setCallId } from './wire.js';

/**
 * Calls on their way out, in frames.
 *
 * Calls of one method that are ready together share a frame, by themselves. When nothing is in flight a call leaves as soon as the code that
 * made it, and the promises that were settled with it, have run: it waits for nobody, and those who were answered by one frame and call
 * again make one frame again. Else it leaves at the end of a turn of the event loop. Calls that come from different sockets, as a gateway's do, share nothing
 * before that; and while turns bring more of them it waits for at most `TURNS_MAX`, for sockets are read in turns that do not wait: where there is
 * nothing more to read, that costs microseconds, and a frame of one call costs as much as one of ten.
 */
export class CallSender {
  readonly #connection: Connection;
  readonly #inbox: string;
  readonly #isLone: () => boolean;
  /** Lanes with calls in them. */
  readonly #waiting: Lane[] = [];
  readonly #sendAll = () => this.#sendWaiting();
  /** Whether they will be sent without anybody's doing. */
  #isEnding = false;
  #turnEnd: NodeJS.Immediate | undefined;
  /** Of those that wait now: turns they have seen, calls that came before the last of them, and calls. */
  #turns = 0;
  #postedBefore = 0;
  #posted = 0;

  /**
   * @param inbox where answers are heard
   * @param isLone whether the call that is posted is the only one in flight
   */
  constructor(connection: Connection, inbox: string, isLone: () => boolean) {
    this.#connection = connection;
    this.#inbox = inbox;
    this.#isLone = isLone;
  }

  /** Puts the call into the next frame; a large one is a frame by itself. */
  post(call: PendingCall, part: Part): void {
    setCallId(part, call.id);
    call.attempts++;
    this.#posted++;
    const { target, destination } = call;
    if (part.byteLength >= ALONE_BYTES) return this.#send(target.method, destination, [call], [part]);
    let lane = target.lanes.get(destination);
    if (!lane) target.lanes.set(destination, (lane = new Lane(target.method, destination)));
    if (lane.isTooSmallFor(part, this.#connection.payloadBytesMax)) this.#sendLane(lane);
    lane.add(call, part);
    if (lane.calls.length === 1) this.#waiting.push(lane);
    if (lane.isFull) this.#sendLane(lane);
    if (this.#isEnding) return;
    this.#isEnding = true;
    // Not in a microtask, but when all of them have run.
    if (this.#isLone()) process.nextTick(this.#sendAll);
    else this.#turnEnd = setImmediate(this.#sendAll);
  }

  /** Nothing of what waits is sent: its calls are ended by whoever says so. */
  clear(): void {
    if (this.#turnEnd) {
      clearImmediate(this.#turnEnd);
      this.#turnEnd = undefined;
      this.#isEnding = false;
      this.#turns = this.#posted = this.#postedBefore = 0;
    }
    for (const lane of this.#waiting.splice(0)) lane.clear();
  }

  #sendWaiting(): void {
    if (this.#turnEnd && this.#posted !== this.#postedBefore && ++this.#turns < TURNS_MAX) {
      this.#postedBefore = this.#posted;
      this.#turnEnd = setImmediate(this.#sendAll);
      return;
    }
    this.#isEnding = false;
    this.#turns = this.#posted = this.#postedBefore = 0;
    this.#turnEnd = undefined;
    for (const lane of this.#waiting) this.#sendLane(lane);
    this.#waiting.length = 0;
  }

  /** It stays among those that wait until the turn ends, and is empty then, or has filled again. */
  #sendLane(lane: Lane): void {
    if (lane.calls.length > 0) this.#send(lane.method, lane.destination, lane.calls, lane.parts);
    lane.clear();
  }

  #send(method: string, destination: Destination, calls: readonly PendingCall[], parts: readonly Part[]): void {
    if (calls.some((call) => call.settled)) return this.#sendRest(method, destination, calls, parts);
    const first = calls[0]!.id;
    for (const call of calls) call.frame = first;
    try {
      sealRequests(parts, systemClock.nowMs());
      const reply = `${this.#inbox}.${first}`;
      const isFree = this.#connection.publishParts(destination.subjectOf(method), reply, parts, REQUEST_ROOM_BYTES);
      if (isFree && parts[0]!.byteLength >= ALONE_BYTES) recycle(parts[0]!);
    } catch (error) {
      for (const call of calls) call.fail(toDiptychError(error));
    }
  }

  /** Their callers were told that nothing was sent. */
  #sendRest(method: string, destination: Destination, calls: readonly PendingCall[], parts: readonly Part[]): void {
    const isOpen = (_: unknown, i: number) => !calls[i]!.settled;
    const open = calls.filter(isOpen);
    if (open.length > 0) this.#send(method, destination, open, parts.filter(isOpen));
  }
}

/** More gain nothing: the others are under way, at the other end of sockets. */
const TURNS_MAX = 3;
