import type { Commit } from '../log.port.js';

/** The newest commits, so that a reader that missed some can catch up. Bounded: a reader further behind starts afresh. */
export class CommitRing {
  readonly #capacity: number;
  /** Revisions of one partition have no holes, so a commit's place follows from its revision. */
  readonly #commits: Array<Commit | undefined> = [];
  #oldest: number;
  #head: number;

  /** @param head the revision before that of the first commit pushed */
  constructor(capacity: number, head: number) {
    this.#capacity = capacity;
    this.#oldest = head;
    this.#head = head;
  }

  /** Revision of the newest commit. */
  get head(): number {
    return this.#head;
  }

  /** When its predecessor is not the head, what came between was removed by compaction: nobody catches up from before it. */
  push(commit: Commit): void {
    this.skipTo(commit.revision - 1);
    this.#commits[commit.revision % this.#capacity] = commit;
    this.#head = commit.revision;
    this.#oldest = Math.max(this.#oldest, this.#head - this.#capacity);
  }

  /** Commits up to this revision, if they are not here, are forgotten for good. */
  skipTo(revision: number): void {
    if (revision <= this.#head) return;
    this.#head = revision;
    this.#oldest = revision;
  }

  /** The commits after a revision, oldest first, as many as both bounds allow but at least one; undefined when some are forgotten. */
  after(revision: number, countMax: number, charsMax: number): Commit[] | undefined {
    if (revision < this.#oldest || revision > this.#head) return undefined;
    const page: Commit[] = [];
    let chars = 0;
    for (let next = revision + 1; next <= this.#head && page.length < countMax && chars < charsMax; next++) {
      const commit = this.#commits[next % this.#capacity]!;
      page.push(commit);
      chars += commit.key.length + ENTRY_CHARS;
    }
    return page;
  }
}

/**
 * A page of commits or keys stays below the bound of a message (1,048,000 bytes), even if every unit of its keys takes six bytes, as an escaped
 * one does in JSON.
 */
export const PAGE_CHARS_MAX = 160_000;
/** What an entry of a page takes besides its key, in the same measure. */
export const ENTRY_CHARS = 15;
