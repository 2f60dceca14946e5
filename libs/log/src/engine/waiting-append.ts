import type { DeadlineWheel } from '@diptych/kernel';
import { DiptychError, onContextEnd } from '@diptych/kernel';
import type { PendingAppend } from './append-batch.js';

/** An append in the queue. When its context ends it is answered, and its value let go of, however long the writer still takes. */
export class WaitingAppend {
  #pending: PendingAppend | undefined;
  readonly #callOff: () => void;
  readonly #onLeave: () => void;

  /** @param onLeave runs once, when it waits no longer */
  constructor(pending: PendingAppend, wheel: DeadlineWheel, onLeave: () => void) {
    this.#pending = pending;
    this.#onLeave = onLeave;
    this.#callOff = onContextEnd(
      pending.context,
      (code, cause) => {
        const what = code === 'CANCELLED' ? 'the append was cancelled' : 'the deadline passed';
        this.take()?.reject(new DiptychError(code, `${what} before it was written`, { definite: true, cause }));
      },
      wheel,
    );
  }

  /** The append, for whoever answers it; undefined when it has been taken or answered. */
  take(): PendingAppend | undefined {
    const pending = this.#pending;
    if (!pending) return undefined;
    this.#pending = undefined;
    this.#callOff();
    this.#onLeave();
    return pending;
  }
}
