import type { MsgHdrs } from '@nats-io/transport-node';
import type { Message } from './message.js';
import { LENT_BYTES_MAX, parseHeaders } from './message.js';

/** What a broker says. What a listener throws ends the connection. */
export interface BrokerListener {
  onMessage(subscription: number, message: Message): void;
  onInfo(json: string): void;
  onPing(): void;
  onPong(): void;
  /** `Permissions Violation for Publish to "x"`, for one. */
  onError(text: string): void;
}

/**
 * Reads the NATS client protocol (https://docs.nats.io/reference/reference-protocols/nats-protocol) from memory that it gives out for each read of the
 * socket: all small messages lie in one room that is used again and again, and the rest of a large one is read to where it stays.
 */
export class ProtocolReader {
  readonly #listener: BrokerListener;
  readonly #room = Buffer.allocUnsafeSlow(ROOM_BYTES);
  /** What was read and not yet understood lies between these. */
  #start = 0;
  #end = 0;
  /** Of a large message of which the rest is awaited: its memory, and how much of that is filled. */
  #large: Buffer | undefined;
  #largeBytes = 0;
  #isEnded = false;
  // Of the message whose first line was read last.
  #subscription = 0;
  #subject = '';
  #reply: string | undefined;
  #headerBytes = 0;
  #bytes = 0;

  constructor(listener: BrokerListener) {
    this.#listener = listener;
  }

  /** Where the next read goes. */
  get space(): Buffer {
    if (this.#large) return this.#large.subarray(this.#largeBytes);
    return this.#end === 0 ? this.#room : this.#room.subarray(this.#end);
  }

  /**
   * So many bytes were read to `space`.
   *
   * @throws RangeError when they are not what a broker says; nothing of what follows can be understood then
   */
  take(bytes: number): void {
    if (this.#isEnded) return;
    if (this.#large) {
      this.#largeBytes += bytes;
      if (this.#largeBytes < this.#large.byteLength) return;
      const large = this.#large;
      this.#large = undefined;
      this.#deliver(large, 0);
      return;
    }
    this.#end += bytes;
    while (this.#start < this.#end && !this.#isEnded && this.#takeNext());
    if (this.#start === this.#end) this.#start = this.#end = 0;
    else if (this.#room.byteLength - this.#end < SPACE_BYTES_MIN) {
      this.#room.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
  }

  /** What was read behind the line or message that a listener hears of now. */
  get unreadBytes(): number {
    return this.#end - this.#start;
  }

  /** Nothing is heard from now on. */
  end(): void {
    this.#isEnded = true;
  }

  /** False when more must be read first. */
  #takeNext(): boolean {
    const first = this.#room[this.#start];
    if (first === LETTER_M || first === LETTER_H) return this.#takeMessage(first === LETTER_H);
    const newline = this.#room.indexOf(NEWLINE, this.#start);
    if (newline === -1 || newline >= this.#end) return this.#awaitLine();
    const line = this.#room.toString('utf8', this.#start, newline).trimEnd();
    this.#start = newline + 1;
    const [word] = line.split(/\s/, 1);
    switch (word!.toUpperCase()) {
      case 'PING':
        this.#listener.onPing();
        break;
      case 'PONG':
        this.#listener.onPong();
        break;
      case '+OK':
        break;
      case 'INFO':
        this.#listener.onInfo(line.slice(word!.length));
        break;
      case '-ERR':
        this.#listener.onError(
          line
            .slice(word!.length)
            .trim()
            .replace(/^'(.*)'$/, '$1'),
        );
        break;
      default:
        throw new RangeError(`the broker says ${JSON.stringify(line.slice(0, 64))}`);
    }
    return true;
  }

  /** `MSG <subject> <subscription> [reply] <bytes>`, or `HMSG` with the bytes of the headers before those of all. */
  #takeMessage(hasHeaders: boolean): boolean {
    const room = this.#room;
    const end = this.#end;
    const subjectStart = this.#start + (hasHeaders ? 5 : 4);
    let words = 0;
    let at = subjectStart;
    for (; at < end; at++) {
      const byte = room[at];
      if (byte === NEWLINE) break;
      if (byte === SPACE) {
        if (words === SPACES_MAX) throw NO_MESSAGE();
        spaces[words++] = at;
      }
    }
    if (at >= end) return this.#awaitLine();
    const hasReply = words === (hasHeaders ? 4 : 3);
    if ((!hasReply && words !== (hasHeaders ? 3 : 2)) || room[subjectStart - 1] !== SPACE) throw NO_MESSAGE();
    this.#subject = room.toString('utf8', subjectStart, spaces[0]);
    this.#subscription = numberIn(room, spaces[0]! + 1, spaces[1]!);
    this.#reply = hasReply ? room.toString('utf8', spaces[1]! + 1, spaces[2]) : undefined;
    this.#headerBytes = hasHeaders ? numberIn(room, spaces[words - 2]! + 1, spaces[words - 1]!) : 0;
    this.#bytes = numberIn(room, spaces[words - 1]! + 1, room[at - 1] === RETURN ? at - 1 : at);
    if (this.#headerBytes > this.#bytes) throw NO_MESSAGE();
    return this.#takePayload(at + 1);
  }

  #takePayload(start: number): boolean {
    const bytes = this.#bytes + LINE_END_BYTES;
    const isWhole = this.#end - start >= bytes;
    if (this.#bytes <= LENT_BYTES_MAX) {
      // Its first line is read again when there is more.
      if (!isWhole) return false;
      this.#start = start + bytes;
      this.#deliver(this.#room, start);
      return true;
    }
    const large = Buffer.allocUnsafeSlow(bytes);
    this.#largeBytes = this.#room.copy(large, 0, start, Math.min(this.#end, start + bytes));
    if (isWhole) {
      this.#start = start + bytes;
      this.#deliver(large, 0);
      return true;
    }
    this.#large = large;
    this.#start = this.#end;
    return false;
  }

  #deliver(memory: Buffer, start: number): void {
    const end = start + this.#bytes;
    if (memory[end] !== RETURN || memory[end + 1] !== NEWLINE) throw NO_MESSAGE();
    const headers = this.#headerBytes > 0 ? parseHeaders(memory.subarray(start, start + this.#headerBytes)) : undefined;
    const data = memory.subarray(start + this.#headerBytes, end);
    this.#listener.onMessage(this.#subscription, new Received(this.#subject, this.#reply, data, headers));
  }

  #awaitLine(): false {
    if (this.#end - this.#start > LINE_BYTES_MAX) throw new RangeError('the broker says a line without an end');
    return false;
  }
}

class Received implements Message {
  constructor(
    readonly subject: string,
    readonly reply: string | undefined,
    readonly data: Buffer,
    readonly headers: MsgHdrs | undefined,
  ) {}
}

function numberIn(bytes: Buffer, start: number, end: number): number {
  let number = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - DIGIT_ZERO;
    if (digit < 0 || digit > 9) throw NO_MESSAGE();
    number = number * 10 + digit;
  }
  if (end === start || number > NUMBER_MAX) throw NO_MESSAGE();
  return number;
}

const NO_MESSAGE = () => new RangeError('the broker gives out what is no message');

/**
 * Larger than four lent messages, so that a value never seems worth keeping with all that it came in (see `decode`); larger than the longest
 * line and the largest lent message with room for more.
 */
const ROOM_BYTES = 524_288;
const SPACE_BYTES_MIN = 131_072;
/** That of the broker is 4 KiB; an INFO with hundreds of addresses is longer. */
const LINE_BYTES_MAX = 65_536;
/** The broker's own limit on a message is 64 MiB. */
const NUMBER_MAX = 2 ** 27;
const LINE_END_BYTES = 2;
const SPACES_MAX = 4;
const spaces: number[] = [0, 0, 0, 0];
const LETTER_M = 0x4d;
const LETTER_H = 0x48;
const SPACE = 0x20;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const DIGIT_ZERO = 0x30;
