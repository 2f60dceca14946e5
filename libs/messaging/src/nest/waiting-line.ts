import type { CallContext } from '@diptych/kernel';
import { DiptychError, onContextEnd } from '@diptych/kernel';
import { oversizeRequest, tooManyBytesWaiting, tooManyWaiting } from '../binding-errors.js';
import { assertCallable } from '../call-watch.js';
import type { Bounds } from '../port.js';
import { atLeastBytes } from '../size.js';

/**
 * What waits for the first connection of a client, and is sent by it in the order in which it came. Of all patterns together no more waits than may be in
 * flight of one. Whoever leaves early, because its time is up or it was cancelled, leaves nothing behind.
 */
export class WaitingLine<Open> {
  readonly #bounds: Bounds;
  readonly #waiters = new Set<Waiter<Open>>();
  #bytes = 0;

  constructor(bounds: Bounds) {
    this.#bounds = bounds;
  }

  /**
   * What `send` makes of the connection, once there is one. It is called within `open`, and must not begin anything by itself.
   *
   * @param content what is to be sent; its size is taken now
   * @throws OVERLOADED or TOO_LARGE at once; DEADLINE_EXCEEDED or CANCELLED when there is no connection by then; all definite. Also what `fail` was given
   */
  wait<T>(what: string, context: CallContext, content: unknown, send: (open: Open) => T | Promise<T>): Promise<T> {
    assertCallable(what, context);
    const { inFlightMax, inFlightBytesMax, messageBytesMax } = this.#bounds;
    if (this.#waiters.size >= inFlightMax) throw tooManyWaiting(what, inFlightMax);
    const bytes = atLeastBytes(content, messageBytesMax + 1);
    if (bytes > messageBytesMax) throw oversizeRequest(what, messageBytesMax);
    // One message may always wait, whatever its size.
    if (this.#bytes > 0 && this.#bytes + bytes > inFlightBytesMax) throw tooManyBytesWaiting(what, this.#bytes);
    return new Promise((resolve, reject) => {
      const callOff = onContextEnd(context, (code, cause) => {
        this.#leave(waiter);
        reject(new DiptychError(code, `${what} was not sent: there was no connection to NATS yet`, { cause, definite: true }));
      });
      const waiter: Waiter<Open> = { bytes, callOff, send: (open) => resolve(send(open)), fail: reject };
      this.#waiters.add(waiter);
      this.#bytes += bytes;
    });
  }

  /** Sends all of it, before it returns. */
  open(open: Open): void {
    this.#settle((waiter) => waiter.send(open));
  }

  fail(error: unknown): void {
    this.#settle((waiter) => waiter.fail(error));
  }

  #settle(settle: (waiter: Waiter<Open>) => void): void {
    for (const waiter of this.#waiters) {
      this.#leave(waiter);
      try {
        settle(waiter);
      } catch (error) {
        waiter.fail(error);
      }
    }
  }

  #leave(waiter: Waiter<Open>): void {
    this.#waiters.delete(waiter);
    this.#bytes -= waiter.bytes;
    waiter.callOff();
  }
}

interface Waiter<Open> {
  readonly bytes: number;
  readonly callOff: () => void;
  readonly send: (open: Open) => void;
  readonly fail: (error: unknown) => void;
}
