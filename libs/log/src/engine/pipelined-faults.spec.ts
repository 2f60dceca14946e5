import type { CallContext } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import { seededRandom, seedFromEnv } from '@diptych/testing';
import { expect, it } from 'vitest';
import { crashAt, pick } from '../../test/crash-state.js';
import { logOptions, soonBy, turns } from '../../test/crash-workload.js';
import type { Fault } from '../../test/faulty-file-system.js';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { bytesOf } from '../../test/log-fixture.js';
import { MemoryDisk } from '../../test/memory-disk.js';
import type { AppendReply, AppendRequest, Commit, Condition } from '../log.port.js';
import { conflictWith } from './append-refusals.js';
import type { FileLog } from './file-log.js';
import { openFileLog } from './file-log.js';

/*
 * Claim: whatever fails while one batch is at the disk and the next is staged on top of it, every answer is true of the one history that was
 * announced. Many callers ask at once, repeat, give up and are called off, the disk fails again and again, and compaction runs beside it all. Held against the
 * announced commits: every one of them was asked for and answered once, conditions held where they were decided, a conflict was there
 * to see between question and answer, and reads show nothing else. Then the same is found on the disk, after a power failure too.
 */

const ROUNDS = process.env['DIPTYCH_LONG'] === '1' ? 1_000 : 25;

interface Asked {
  readonly request: AppendRequest;
  /** How many commits had been announced when it was sent, and when it was answered. */
  readonly from: number;
  to: number;
  reply?: AppendReply;
  code?: string;
}

class Storm {
  readonly #random: () => number;
  readonly #clock = new FakeClock();
  readonly #disk = new MemoryDisk();
  readonly #fileSystem = new FaultyFileSystem(this.#disk);
  readonly #options = { ...logOptions(this.#fileSystem, this.#clock), channelCapacity: 4 };
  readonly #asked: Asked[] = [];
  readonly #announced: Commit[] = [];
  #open = 0;
  #failing = false;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    const often = pick(this.#random, [0.01, 0.05, 0.2]);
    this.#fileSystem.fault = (operation): Fault | undefined => {
      const wait = operation === 'sync' ? turns(Math.floor(this.#random() * 5)) : undefined;
      if (!this.#failing || operation === 'read' || this.#random() >= often) return { wait };
      return { wait, code: pick(this.#random, ['EIO', 'ENOSPC']), bytes: Math.floor(this.#random() * 400) };
    };
  }

  /** Returns how each append ended. */
  async run(): Promise<string[]> {
    const log = await openFileLog(this.#options);
    await log.commits((event) => event.kind === 'commit' && this.#announced.push(event.commit));
    for (let step = 0; step < 60; step++) {
      this.#failing = this.#random() < 0.7;
      for (let i = pick(this.#random, [0, 1, 3, 8]); i > 0; i--) void this.#ask(log);
      if (this.#random() < 0.1) void log.compact();
      if (this.#random() < 0.3) await this.#look(log);
      this.#clock.advance(this.#random() * 40);
      await turns(Math.floor(this.#random() * 4));
    }
    this.#failing = false;
    for (let turn = 0; this.#open > 0 || !log.status.writable; turn++) {
      expect(turn).toBeLessThan(10_000);
      this.#clock.advance(100);
      await turns(1);
    }
    this.#checkAnswers(log);
    const lost = crashAt(this.#disk, this.#disk.records.length, 'all lost', this.#random);
    await this.#checkEntries(await openFileLog({ ...this.#options, fileSystem: lost }));
    await log.close();
    await this.#checkEntries(await openFileLog(this.#options));
    return this.#asked.map(({ code }) => code ?? 'done');
  }

  async #ask(log: FileLog): Promise<void> {
    const asked: Asked = { request: this.#request(log), from: this.#announced.length, to: 0 };
    this.#asked.push(asked);
    this.#open++;
    try {
      asked.reply = await log.append(asked.request, this.#context());
    } catch (error) {
      asked.code = (error as { code: string }).code;
    }
    asked.to = this.#announced.length;
    this.#open--;
  }

  #context(): CallContext {
    if (this.#random() < 0.7) return { deadlineMs: Infinity };
    if (this.#random() < 0.5) return { deadlineMs: this.#clock.nowMs() + this.#random() * 100 };
    const controller = new AbortController();
    void turns(Math.floor(this.#random() * 8)).then(() => controller.abort());
    return { deadlineMs: Infinity, signal: controller.signal };
  }

  #request({ incarnation }: FileLog): AppendRequest {
    if (this.#asked.length > 0 && this.#random() < 0.25) return pick(this.#random, this.#asked.slice(-12)).request;
    const requestId = `request ${this.#asked.length}`;
    const key = `key ${Math.floor(this.#random() * 5)}`;
    // Of what is there, and of what may just be at the disk, or be staged.
    const anyOf = [0, 1, 2, 3, 4].map((ahead) => ({
      incarnation,
      partition: 0,
      revision: Math.max(1, this.#announced.length - 2 + ahead),
    }));
    const condition = pick<Condition | undefined>(this.#random, [
      { kind: 'ifAbsent' },
      { kind: 'ifPresent' },
      { kind: 'ifRevision', anyOf },
      undefined,
    ]);
    const value = bytesOf(requestId.padEnd(Math.floor(this.#random() * 300), '.'));
    const deletes = this.#random() < 0.3;
    return { mutation: deletes ? { kind: 'delete', key } : { kind: 'put', key, value, contentType: '' }, condition, requestId };
  }

  async #look(log: FileLog): Promise<void> {
    const from = this.#announced.length;
    const key = `key ${Math.floor(this.#random() * 5)}`;
    const position = { incarnation: log.incarnation, partition: 0, revision: Math.max(0, from - 3) };
    const [{ entry, asOf }, page] = await Promise.all([
      log.read({ key }, soonBy(this.#clock)),
      log.committed({ after: position, limit: 10 }, soonBy(this.#clock)),
    ]);
    expect(asOf.revision).toBe(from);
    expect(entry?.revision ?? 0).toBe(this.#revisionOf(key, from));
    expect(page).toMatchObject({ kind: 'page', head: asOf, commits: this.#announced.slice(position.revision, from) });
  }

  /** Of the key's entry after so many commits; 0 when it is absent. */
  #revisionOf(key: string, commits: number): number {
    const newest = this.#announced.slice(0, commits).findLast((commit) => commit.key === key);
    return newest && !newest.deleted ? newest.revision : 0;
  }

  #checkAnswers({ incarnation }: FileLog): void {
    this.#announced.forEach((commit, i) => expect(commit).toMatchObject({ revision: i + 1, previous: i }));
    const owners = new Map<number, string>();
    for (const { request, reply, code, from, to } of this.#asked) {
      const { mutation, requestId, condition } = request;
      const conflicts = (commits: number) =>
        condition && conflictWith(condition, this.#revisionOf(mutation.key, commits), { incarnation, partition: 0 });
      if (code === 'CONFLICT') {
        const seen = Array.from({ length: to - from + 1 }, (_, i) => conflicts(from + i));
        expect(
          seen.some((refusal) => refusal !== undefined),
          `the conflict of ${requestId} was nowhere to be seen`,
        ).toBe(true);
      }
      if (!reply) continue;
      const { revision } = reply.position;
      expect(revision).toBeLessThanOrEqual(to);
      expect(this.#announced[revision - 1]).toMatchObject({ key: mutation.key, deleted: mutation.kind === 'delete' });
      expect(conflicts(revision - 1), `${requestId} at ${revision}`).toBeUndefined();
      expect(reply.existed).toBe(this.#revisionOf(mutation.key, revision - 1) > 0);
      expect(owners.get(revision) ?? requestId).toBe(requestId);
      owners.set(revision, requestId);
    }
    expect(owners.size).toBe(this.#announced.length);
    expect(new Set(owners.values()).size).toBe(this.#announced.length);
  }

  async #checkEntries(log: FileLog): Promise<void> {
    expect(log.status.headRevision).toBe(this.#announced.length);
    for (let i = 0; i < 5; i++) {
      const { entry } = await log.read({ key: `key ${i}` }, soonBy(this.#clock));
      expect(entry?.revision ?? 0).toBe(this.#revisionOf(`key ${i}`, this.#announced.length));
      const owner = this.#asked.find(({ reply }) => reply?.position.revision === entry?.revision)?.request.mutation;
      if (entry) expect(owner?.kind === 'put' && Buffer.compare(owner.value, entry.value)).toBe(0);
    }
    for (const { request, reply } of this.#asked.slice(-30))
      if (reply) expect(await log.append(request, soonBy(this.#clock))).toEqual(reply);
    await log.close();
  }
}

it('answers are true of one history, whatever fails while the next batch is staged', { timeout: 600_000 }, async () => {
  const seed = seedFromEnv();
  const sums: Record<string, number> = {};
  for (let round = 0; round < ROUNDS; round++) {
    const ends = await new Storm(seed + round).run().catch((error: Error) => {
      throw new Error(`seed ${seed} + ${round}: ${error.message}`, { cause: error });
    });
    for (const end of ends) sums[end] = (sums[end] ?? 0) + 1;
  }
  console.info(`pipelined faults ${JSON.stringify({ seed, ...sums })}`);
  for (const code of ['done', 'CONFLICT', 'INTERNAL', 'STORAGE_FULL', 'CANCELLED', 'DEADLINE_EXCEEDED', 'UNAVAILABLE'])
    expect(sums[code] ?? 0, code).toBeGreaterThan(0);
});
