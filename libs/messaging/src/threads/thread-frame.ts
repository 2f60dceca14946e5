import type { MessagePort } from 'node:worker_threads';
import { withOwnBytes } from './own-bytes.js';

/**
 * What goes from one thread to another: a flat array of items, each its kind and then as many fields as `FIELDS` says, so that one
 * structured clone carries all that was ready together. (Why a clone and not the codec: ADR 0023.)
 */
export const Item = { CALL: 0, ANSWER: 1, ERROR: 2, CANCEL: 3, SUBSCRIBE: 4, UNSUBSCRIBE: 5, EVENT: 6, TAKEN: 7 } as const;
export type Item = (typeof Item)[keyof typeof Item];

/**
 * CALL         id, path, deadline on the clock of the process in ms, traceparent, request
 * ANSWER       id, reply
 * ERROR        id, error record
 * CANCEL       id
 * SUBSCRIBE    id, path; is answered as a call
 * UNSUBSCRIBE  id
 * EVENT        id of the subscription, event
 * TAKEN        id of the subscription, how many events more were taken
 */
const FIELDS: Readonly<Record<Item, number>> = [5, 2, 2, 1, 2, 1, 2, 2];

/** The most items in one frame. */
const ITEMS_MAX = 64;

/**
 * Items on their way out. They leave at once when told to, else at the end of the turn of the event loop, or when `ITEMS_MAX` of them wait.
 */
export class Outbox {
  readonly #port: MessagePort;
  readonly #onUnsendable: (item: readonly unknown[], error: unknown) => void;
  #frame: unknown[] = [];
  #count = 0;
  #fresh: ArrayBuffer[] = [];
  #turnEnd: NodeJS.Immediate | undefined;
  readonly #atTurnEnd = () => {
    this.#turnEnd = undefined;
    this.flush();
  };

  /** @param onUnsendable hears of an item that cannot be cloned, a function in it for example; the others of its frame are sent */
  constructor(port: MessagePort, onUnsendable: (item: readonly unknown[], error: unknown) => void) {
    this.#port = port;
    this.#onUnsendable = onUnsendable;
  }

  /** `value` is the last field. */
  post(isUrgent: boolean, value: unknown, ...item: readonly [Item, ...unknown[]]): void {
    this.#frame.push(...item, withOwnBytes(value, this.#fresh));
    if (++this.#count >= ITEMS_MAX || (isUrgent && this.#turnEnd === undefined)) this.flush();
    else this.#turnEnd ??= setImmediate(this.#atTurnEnd);
  }

  flush(): void {
    if (this.#turnEnd) clearImmediate(this.#turnEnd);
    this.#turnEnd = undefined;
    if (this.#count === 0) return;
    const [frame, fresh] = [this.#frame, this.#fresh];
    this.#frame = [];
    this.#count = 0;
    if (fresh.length > 0) this.#fresh = [];
    try {
      this.#port.postMessage(frame, fresh);
    } catch {
      for (const item of itemsOf(frame)) this.#postAlone(item);
    }
  }

  /** What has not left stays here. */
  drop(): void {
    if (this.#turnEnd) clearImmediate(this.#turnEnd);
    this.#turnEnd = undefined;
    this.#frame = [];
    this.#count = 0;
  }

  #postAlone(item: readonly unknown[]): void {
    try {
      this.#port.postMessage(item);
    } catch (error) {
      this.#onUnsendable(item, error);
    }
  }
}

/** Each with its kind in front. */
function* itemsOf(frame: readonly unknown[]): Generator<readonly unknown[]> {
  for (let at = 0; at < frame.length;) {
    const end = at + 1 + FIELDS[frame[at] as Item];
    yield frame.slice(at, end);
    at = end;
  }
}

export function fieldsOf(kind: Item): number {
  return FIELDS[kind];
}
