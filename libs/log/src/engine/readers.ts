/**
 * Counts who reads from the segments, so that one that was replaced is closed only after the last reader that may know it. Readers are counted by
 * epoch: `quiesce` begins a new one and waits for the one before to empty. Costs a read two additions.
 */
export class Readers {
  #epoch = new Epoch();
  #before = this.#epoch;

  /** Hold on to what it returns, and give it to `leave` once. Look up segments only after this. */
  enter(): Epoch {
    this.#epoch.count++;
    return this.#epoch;
  }

  leave(epoch: Epoch): void {
    if (--epoch.count === 0) epoch.onEmpty?.();
  }

  /** What `work` reads from stays open until it ends. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const epoch = this.enter();
    try {
      return await work();
    } finally {
      this.leave(epoch);
    }
  }

  /** Resolves when everyone has left who entered before this call. One call at a time. */
  async quiesce(): Promise<void> {
    const before = (this.#before = this.#epoch);
    this.#epoch = new Epoch();
    if (before.count > 0) await new Promise<void>((resolve) => (before.onEmpty = resolve));
  }

  /** The last `quiesce` waits for somebody. */
  get held(): boolean {
    return this.#before.count > 0;
  }
}

export class Epoch {
  count = 0;
  onEmpty: (() => void) | undefined;
}
