import { PendingCall } from '../../src/nats/pending-call.js';
import type { Numbered } from '../../src/nats/pending-ring.js';
import { PendingRing } from '../../src/nats/pending-ring.js';
import { ReplyKind } from '../../src/nats/wire.js';

/**
 * Sees what a promise hides, since it settles once: that a call of this process is ended though it has ended, and that a reply comes for one which has got
 * its answer or its error. Of all callers of this process, from now on.
 */
export class SecondEnds {
  /** The first of them, in words. */
  readonly found: string[] = [];
  /** Calls that ended, and those that a reply ended: by which one sees that this one looks. */
  ended = 0;
  replied = 0;
  readonly #replied = new WeakMap<object, Set<number>>();
  #asked: object = this;

  constructor() {
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- the functions below have another
    const watch = this;
    const { get, delete: remove } = PendingRing.prototype;
    const { take } = PendingCall.prototype;
    PendingRing.prototype.get = function (id: number): Numbered | undefined {
      watch.#asked = this;
      const call = get.call(this, id);
      if (!call && watch.#repliedIn(this).has(id)) watch.add(`a reply came for call ${id}, which had its answer or its error`);
      return call;
    };
    PendingRing.prototype.delete = function (call: Numbered): boolean {
      const isThere = remove.call(this, call);
      if (isThere) watch.ended++;
      else watch.add(`call ${call.id} was ended, and had ended`);
      return isThere;
    };
    PendingCall.prototype.take = function (reader): void {
      if (reader.kind !== ReplyKind.VALUE) {
        watch.replied++;
        watch.#repliedIn(watch.#asked).add(reader.id);
      }
      take.call(this, reader);
    };
  }

  add(what: string): void {
    if (this.found.length < SHOWN) this.found.push(what);
  }

  #repliedIn(ring: object): Set<number> {
    let ids = this.#replied.get(ring);
    if (!ids) this.#replied.set(ring, (ids = new Set()));
    return ids;
  }
}

const SHOWN = 12;
