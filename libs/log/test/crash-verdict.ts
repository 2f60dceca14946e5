import type { FakeClock } from '@diptych/kernel/testing';
import type { FileLog } from '../src/engine/file-log.js';
import { openFileLog } from '../src/engine/file-log.js';
import { SKIPPED_REVISIONS } from '../src/engine/segment-header.js';
import type { FileSystem } from '../src/engine/file-system.js';
import type { Commit } from '../src/log.port.js';
import type { Random } from './crash-state.js';
import { pick } from './crash-state.js';
import type { Event, History } from './crash-workload.js';
import { logOptions, remembered, soonBy } from './crash-workload.js';
import { putRequest } from './log-fixture.js';
import type { MemoryDisk } from './memory-disk.js';

/** What is asked of a log that was recovered from an image, besides that it opens. */
export interface Expectation {
  readonly history: History;
  /** Of the history's events, how many somebody knew of before the crash: these at least must be there. */
  readonly known: number;
  /** How many had been sent: more cannot be there. */
  readonly sent: number;
}

export interface Recovered {
  /** In words; empty when all is well. */
  readonly violations: string[];
  /** What the log held after it was opened, and a few appends more: the history of a crash after this one. */
  readonly history: History;
  /** Of the disk's records, how many there were when the log was open. */
  readonly openAt: number;
  readonly cuts: readonly Cut[];
}

/** Bytes that were cut off a segment, and where they are to be found from then on. */
interface Cut {
  readonly segment: string;
  readonly offset: number;
  readonly bytes: Buffer;
  readonly saved: string;
}

/** Opens the log on the disk and holds it against what is known of it; then it is used, and closed. */
export async function recoverAndCheck(
  disk: MemoryDisk,
  fileSystem: FileSystem,
  expected: Expectation,
  clock: FakeClock,
  random: Random,
): Promise<Recovered> {
  const before = new Map(disk.paths.map((path) => [path, disk.bytesOf(path)]));
  const cuts: Cut[] = [];
  const onWarning = (message: string) => {
    const [, segment, , offset, saved] = CUT.exec(message) ?? [];
    if (segment) cuts.push({ segment, offset: Number(offset), bytes: before.get(segment)!.subarray(Number(offset)), saved: saved! });
  };
  let log: FileLog;
  try {
    log = await openFileLog({ ...logOptions(fileSystem, clock), ...expected.history.window, onWarning });
  } catch (error) {
    return { violations: [`it does not open: ${(error as Error).message}`], history: expected.history, openAt: 0, cuts };
  }
  const openAt = disk.records.length;
  try {
    const check = new Check(log, expected, clock, random);
    check.violations.push(...missingCuts(disk, cuts));
    await check.everything();
    const there = check.there.map((event) => ({ ...event, sentAt: openAt, knownAt: openAt }));
    const events = [...there, ...(await check.goesOn(disk))];
    return { violations: check.violations, history: { ...expected.history, events }, openAt, cuts };
  } catch (error) {
    return { violations: [`a call failed: ${(error as Error).message}`], history: expected.history, openAt, cuts };
  } finally {
    await log.close();
  }
}

/** Of what was cut off, what is neither where it was nor where it was said to be saved. */
export function missingCuts(disk: MemoryDisk, cuts: readonly Cut[]): string[] {
  const isIn = (path: string, offset: number, bytes: Buffer) =>
    disk.paths.includes(path) && disk.bytesOf(path).subarray(offset).equals(bytes);
  return cuts
    .filter(({ segment, offset, bytes, saved }) => !isIn(saved, 0, bytes) && !isIn(segment, offset, bytes))
    .map(({ segment, offset, saved }) => `lost: what was cut off ${segment} at ${offset} is not in ${saved}`);
}

const CUT = /^(\S+) ended in an unfinished write: (\d+) bytes from offset (\d+) were cut off and saved as (\S+)$/;

class Check {
  readonly violations: string[] = [];
  /** The events that survived. */
  readonly there: readonly Event[];
  readonly #log: FileLog;
  readonly #expected: Expectation;
  readonly #clock: FakeClock;
  readonly #random: Random;
  readonly #newest: number;

  constructor(log: FileLog, expected: Expectation, clock: FakeClock, random: Random) {
    this.#log = log;
    this.#expected = expected;
    this.#clock = clock;
    this.#random = random;
    this.#newest = this.#newestRevision();
    this.there = expected.history.events.filter(({ reply }) => reply.position.revision <= this.#newest);
  }

  /** Of what survived; 0 when nothing did. Behind it revisions may have been left out, by this open and by some before it. */
  #newestRevision(): number {
    const given = new Set(this.#expected.history.events.map(({ reply }) => reply.position.revision));
    let revision = this.#log.status.headRevision;
    while (revision > 0 && !given.has(revision)) revision -= SKIPPED_REVISIONS;
    return revision;
  }

  async everything(): Promise<void> {
    const { known, sent, history } = this.#expected;
    const head = this.#log.status.headRevision;
    if (this.there.length < known) this.violations.push(`lost: the head is ${head}, and ${known} mutations were known of`);
    if (this.there.length > sent) this.violations.push(`invented: the head is ${head}, and ${sent} mutations were sent`);
    const newest = this.there.at(-1)?.reply.position;
    if (this.#newest < 0) this.violations.push(`invented: nothing had the revision of the head, ${head}`);
    if (newest && newest.incarnation !== this.#log.incarnation) this.violations.push('another incarnation, and the same mutations');
    if (this.violations.length > 0 || history.events.length === 0) return;
    await this.#commits();
    await this.#entries();
    await this.#repeats();
  }

  /** In the same order, none left out, unless they were compacted away. */
  async #commits(): Promise<void> {
    const from = async (revision: number) =>
      this.#log.committed({ after: { incarnation: this.#log.incarnation, partition: 0, revision }, limit: 10_000 }, soonBy(this.#clock));
    let page = await from(0);
    const middle = this.there.length === 0 ? 0 : pick(this.#random, this.there).reply.position.revision;
    if (page.kind === 'resync') page = await from(middle);
    // Nobody catches up over revisions that were left out.
    if (page.kind === 'resync') page = await from(this.#afterGap());
    if (page.kind === 'resync') return;
    const { commits } = page;
    const expected = this.there.map(({ request: { mutation }, reply: { position } }): Commit => {
      const { revision } = position;
      return { key: mutation.key, revision, previous: revision - 1, deleted: mutation.kind === 'delete' };
    });
    if (JSON.stringify(commits) !== JSON.stringify(expected.slice(expected.length - commits.length)))
      this.violations.push(`out of order: commits ${JSON.stringify(commits)} instead of ${JSON.stringify(expected)}`);
  }

  /** The last revision before those without a hole. */
  #afterGap(): number {
    const revisions = this.there.map(({ reply }) => reply.position.revision);
    return (revisions.findLast((revision, i) => revision - 1 !== revisions[i - 1]) ?? 1) - 1;
  }

  async #entries(): Promise<void> {
    const expected = new Map<string, { revision: number; value: Uint8Array }>();
    for (const { request, reply } of this.there) {
      if (request.mutation.kind === 'delete') expected.delete(request.mutation.key);
      else expected.set(request.mutation.key, { revision: reply.position.revision, value: request.mutation.value });
    }
    const keys = await allKeysBy(this.#log, this.#clock);
    if (keys.join() !== [...expected.keys()].sort().join())
      this.violations.push(`keys ${keys.join()} instead of ${[...expected.keys()].join()}`);
    for (const [key, { revision, value }] of expected) {
      const { entry } = await this.#log.read({ key }, soonBy(this.#clock));
      if (entry?.revision !== revision || Buffer.compare(entry.value, value) !== 0)
        this.violations.push(`${key} has revision ${entry?.revision} instead of ${revision}, or another value`);
    }
  }

  /** Answered, or only written: whoever asks again gets the answer of the first time. */
  async #repeats(): Promise<void> {
    const all = remembered(this.there, this.#expected.history.window, this.#clock);
    const events = all.length <= 12 ? all : [...all.slice(-6), ...Array.from({ length: 4 }, () => pick(this.#random, all))];
    const again = await Promise.all(
      events.map(({ request }) => this.#log.append(request, soonBy(this.#clock)).catch((error: Error) => error.message)),
    );
    for (const [index, { reply, request }] of events.entries())
      if (JSON.stringify(again[index]) !== JSON.stringify(reply))
        this.violations.push(`the repeat of ${request.requestId} got ${JSON.stringify(again[index])} instead of ${JSON.stringify(reply)}`);
  }

  /** A recovered log takes appends, after all it ever gave out. Several share a write that spans sectors. */
  async goesOn(disk: MemoryDisk): Promise<Event[]> {
    if (this.violations.length > 0) return [];
    const head = this.#log.status.headRevision;
    // Sometimes beside compaction, that the second crash may come in the middle of it.
    const compacting = this.#random() < 0.3 ? this.#log.compact() : undefined;
    const sentAt = disk.records.length;
    const atMs = this.#clock.nowMs();
    const append = async (key: string): Promise<Event> => {
      const request = putRequest(key, 'x'.repeat(Math.floor(this.#random() * 700)));
      const reply = await this.#log.append(request, soonBy(this.#clock));
      if (reply.position.revision <= head) this.violations.push(`revision ${reply.position.revision} was given twice`);
      return { atMs, request, reply, sentAt, knownAt: disk.records.length };
    };
    const events = await Promise.all(['after the crash', 'key 1', 'key 2'].map(append));
    await compacting;
    return events;
  }
}

async function allKeysBy(log: FileLog, clock: FakeClock): Promise<string[]> {
  const { keys } = await log.list({ prefix: '', limit: 1_000 }, soonBy(clock));
  return keys.map(({ key }) => key);
}
