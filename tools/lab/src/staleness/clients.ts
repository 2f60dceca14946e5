import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '@diptych/kernel';
import { seededRandom } from '@diptych/testing';
import { Pool } from 'undici';
import type { ReadEvent, WriteEvent } from './judge.js';

export interface Edge {
  readonly name: string;
  readonly url: string;
}

/** What clients saw. Of a key with a write that may or may not have happened, nothing from that write on. */
export interface History {
  readonly writes: WriteEvent[];
  reads: ReadEvent[];
  /** Reads without an answer to judge: refused, timed out, reset. By the moment they were sent. */
  readonly refusedMs: number[];
  /** Keys given up because a write of theirs was left in doubt. */
  retired: number;
}

export interface ClientOptions {
  readonly edges: readonly Edge[];
  /** Writes go here: it is never touched, so that there is always something to be stale of. */
  readonly writeEdge: Edge;
  readonly seed: number;
  readonly writers: number;
  readonly keysAWriter: number;
  /** A moment's rest after each write and its reads. */
  readonly writerPauseMs: number;
  readonly readersAnEdge: number;
  readonly readerPauseMs: number;
}

/**
 * Clients that write keys of their own one after the other, and read each at once from edges picked at random, with the token of what they wrote and without; and
 * readers, some at each edge, that bring none. Each waits for its answers, so that one that hangs holds up only those who asked it.
 */
export class Clients {
  readonly history: History = { writes: [], reads: [], refusedMs: [], retired: 0 };
  readonly #options: ClientOptions;
  readonly #pools = new Map<string, Pool>();
  readonly #stop = new AbortController();
  readonly #running: Array<Promise<void>> = [];
  readonly #keys: string[] = [];
  readonly #acked = new Map<string, WriteEvent[]>();
  #oldestMs = 0;
  /** When the write in doubt was sent. */
  readonly #retiredMs = new Map<string, number>();

  constructor(options: ClientOptions) {
    this.#options = options;
    for (const { name, url } of [options.writeEdge, ...options.edges])
      this.#pools.set(name, new Pool(url, { connections: 32, headersTimeout: ANSWER_MS_MAX, bodyTimeout: ANSWER_MS_MAX }));
  }

  start(): void {
    const { edges, seed, writers, keysAWriter, readersAnEdge } = this.#options;
    for (let w = 0; w < writers; w++) {
      const keys = Array.from({ length: keysAWriter }, (_, k) => `staleness ${w}.${k}`);
      this.#keys.push(...keys);
      for (const key of keys) this.#acked.set(key, []);
      this.#running.push(this.#write(keys, seededRandom(seed + w)));
    }
    for (const [e, edge] of edges.entries())
      for (let r = 0; r < readersAnEdge; r++) this.#running.push(this.#read(edge, seededRandom(seed + 1_000 + e * readersAnEdge + r)));
  }

  /** How old a value that was shown so far was, at most: for how long a newer one had been acknowledged when the read began. 0: none was. */
  get oldestMs(): number {
    return this.#oldestMs;
  }

  /** Resolves when all that was sent is answered. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
    this.history.reads = this.history.reads.filter(({ key, doneMs }) => doneMs < (this.#retiredMs.get(key) ?? Infinity));
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
  }

  async #write(keys: readonly string[], random: () => number): Promise<void> {
    const numbers = new Map(keys.map((key) => [key, 0]));
    while (!this.#stop.signal.aborted && numbers.size > 0) {
      const key = pick([...numbers.keys()], random);
      const number = numbers.get(key)! + 1;
      const kind = random() < DELETE_SHARE ? 'delete' : 'put';
      const sentMs = systemClock.nowMs();
      const answer = await this.#ask(
        this.#options.writeEdge,
        kind === 'put' ? 'PUT' : 'DELETE',
        key,
        {},
        kind === 'put' ? String(number) : undefined,
      );
      if (!answer || ![200, 201, 204, 404].includes(answer.status)) {
        numbers.delete(key);
        this.#retiredMs.set(key, sentMs);
        this.history.retired++;
        continue;
      }
      const write: WriteEvent = { key, number, kind, sentMs, ackedMs: systemClock.nowMs() };
      this.history.writes.push(write);
      this.#acked.get(key)!.push(write);
      numbers.set(key, number);
      const { edges } = this.#options;
      // At once, when caches are likeliest not to have heard of it: one with the token, one that does without.
      await Promise.all([
        this.#readOnce(pick(edges, random), key, { number, text: answer.token }),
        this.#readOnce(pick(edges, random), key),
      ]);
      await sleep(this.#options.writerPauseMs * (0.5 + random()));
    }
  }

  async #read(edge: Edge, random: () => number): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#readOnce(edge, pick(this.#keys, random));
      await sleep(this.#options.readerPauseMs * (0.5 + random()));
    }
  }

  async #readOnce(edge: Edge, key: string, token?: { number: number; text: string }): Promise<void> {
    const sentMs = systemClock.nowMs();
    const answer = await this.#ask(edge, 'GET', key, token ? { 'diptych-revision': token.text } : {});
    const doneMs = systemClock.nowMs();
    const { reads, refusedMs } = this.history;
    if (!answer || ![200, 404].includes(answer.status)) return void refusedMs.push(sentMs);
    // The first write is number 1: what follows the one that was shown is at its number.
    const newer = answer.status === 200 ? this.#acked.get(key)![Number(answer.text)] : undefined;
    if (newer) this.#oldestMs = Math.max(this.#oldestMs, sentMs - newer.ackedMs);
    reads.push({
      edge: edge.name,
      key,
      sentMs,
      doneMs,
      shown: answer.status === 404 ? 'absent' : Number(answer.text),
      token: token?.number,
    });
  }

  async #ask(edge: Edge, method: 'GET' | 'PUT' | 'DELETE', key: string, headers: Record<string, string>, body?: string) {
    try {
      const path = `/v1/keys/${encodeURIComponent(key)}`;
      const options = { method, path, headers: { ...headers, 'diptych-timeout-ms': String(TIMEOUT_MS) }, body: body ?? null };
      const answer = await this.#pools.get(edge.name)!.request(options);
      return { status: answer.statusCode, text: await answer.body.text(), token: String(answer.headers['diptych-revision']) };
    } catch {
      return undefined;
    }
  }
}

function pick<T>(all: readonly T[], random: () => number): T {
  return all[Math.floor(random() * all.length)]!;
}

const DELETE_SHARE = 0.25;
const TIMEOUT_MS = 1_000;
/** A process that stands still answers nothing, not even that its time is up. */
const ANSWER_MS_MAX = 2_000;
