import type { Operation } from './register.js';

/** What clients did and saw, by key, held until the end of the run: some 200 bytes an operation. */
export class KeyHistories {
  readonly #byKey = new Map<string, Operation[]>();
  readonly counts = { operations: 0, acknowledged: 0, failedConditions: 0, unknown: 0, refused: 0 };

  get keys(): number {
    return this.#byKey.size;
  }

  /** @param operation undefined: it was refused for certain, so that nothing happened */
  add(key: string, operation: Operation | undefined): void {
    this.counts.operations++;
    if (!operation) {
      this.counts.refused++;
      return;
    }
    const { kind } = operation.outcome;
    if (kind === 'unknown') this.counts.unknown++;
    else if (kind === 'failed') this.counts.failedConditions++;
    else this.counts.acknowledged++;
    const ofKey = this.#byKey.get(key);
    if (ofKey) ofKey.push(operation);
    else this.#byKey.set(key, [operation]);
  }

  [Symbol.iterator](): IterableIterator<[string, Operation[]]> {
    return this.#byKey.entries();
  }
}
