/**
 * When a batch goes to the disk although more appends wait, or are about to: when the processor would be busy with all of them for longer than the disk with a
 * write. Otherwise one sync for all is better: on a slow disk two halves that take turns would take twice as long. It has a share of all, so that two batches
 * that take turns are about as large.
 *
 * The times of the log and of the disk are measured. The disk's is the shortest of late, since a busy process learns late that the disk is done. What callers
 * do with an answer, until they append again, is reckoned from the log's time.
 */
export class BatchPace {
  readonly #appendsMin: number;
  readonly #bytesMin: number;
  #stageMs = 0;
  #applyMs = 0;
  #diskMs = Infinity;

  /** @param options a batch of fewer appends, and of fewer bytes, never goes early: a sync costs too much for it */
  constructor(options: { appendsMin: number; bytesMin: number }) {
    this.#appendsMin = options.appendsMin;
    this.#bytesMin = options.bytesMin;
  }

  staged(appends: number, elapsedMs: number): void {
    if (appends > 0) this.#stageMs += (elapsedMs / appends - this.#stageMs) * WEIGHT;
  }

  written(diskMs: number, appends: number, applyMs: number): void {
    this.#diskMs = Math.min(diskMs, this.#diskMs * 1.1 + 0.01);
    this.#applyMs += (applyMs / appends - this.#applyMs) * WEIGHT;
  }

  /** @param appends in the batch @param inPlay those, and all others that wait or have just been answered */
  isWorthWriting(appends: number, bytes: number, inPlay: number): boolean {
    if (appends === 0 || (appends < this.#appendsMin && bytes < this.#bytesMin)) return false;
    return appends >= inPlay * SHARE_MIN && inPlay * (this.#stageMs + this.#applyMs) * CALLERS_FACTOR >= this.#diskMs;
  }
}

const WEIGHT = 1 / 8;
/** Of all appends in play. */
const SHARE_MIN = 1 / 3;
/** With the callers' part, reckoned as half as long again; not measured. */
const CALLERS_FACTOR = 1.5;
