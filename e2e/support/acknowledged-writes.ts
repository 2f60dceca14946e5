import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Answer, HttpClient } from './http-client.js';
import { isTroubleAnswer } from './problem.js';

/**
 * What a client may believe about its keys after a crash. Every operation on a key ends in one of three ways:
 *
 *   acknowledged   from now on the key has this state, and none before it
 *   refused        definite: it did not and will not happen
 *   in doubt       no answer, or an indefinite one: the key may have the state before it or after it
 *
 * Operations on one key follow each other, so that a short list of states is all a key may be found in. A repeat bears
 * the first attempt's Idempotency-Key.
 */
export class AcknowledgedWrites {
  /** Per key: states it may be in. One state: certain. `undefined` stands for absent. */
  readonly #possible = new Map<string, Array<string | undefined>>();
  acknowledged = 0;
  inDoubt = 0;
  attempts = 0;
  #lastRefusal = 'no connection';
  /** Repeats of an operation in doubt that were then acknowledged. */
  settledByRepeat = 0;

  get keys(): IterableIterator<string> {
    return this.#possible.keys();
  }

  possible(key: string): ReadonlyArray<string | undefined> {
    return this.#possible.get(key) ?? [undefined];
  }

  /**
   * Performs one operation.
   *
   * @param options.ready resolves when it is worth (re)trying, at once unless there is an outage
   * @param options.repeatInDoubt whether an operation in doubt is tried again with the same id, or left in doubt
   * @throws Error when the panel answers what it must never answer, or refuses for `refusedMsMax` although it is worth trying
   */
  async perform(
    http: () => HttpClient,
    operation: { key: string; value: string | undefined },
    options: { ready: () => Promise<void>; repeatInDoubt: boolean; refusedMsMax?: number },
  ): Promise<void> {
    const { key, value } = operation;
    const id = randomUUID();
    const before = this.possible(key);
    let doubtful = false;
    let refusedMs = 0;
    for (let attempt = 1; refusedMs <= (options.refusedMsMax ?? REFUSED_MS_MAX); attempt++) {
      await options.ready();
      const beganMs = performance.now();
      this.attempts++;
      const outcome = await this.#attempt(http(), key, value, id);
      if (outcome === 'acknowledged') {
        this.acknowledged++;
        if (doubtful) this.settledByRepeat++;
        this.#possible.set(key, [value]);
        return;
      }
      if (outcome === 'refused') {
        await delay(Math.min(10 * attempt, 200));
        refusedMs += performance.now() - beganMs;
        continue;
      }
      doubtful = true;
      this.#possible.set(key, [...before, value]);
      if (!options.repeatInDoubt) {
        this.inDoubt++;
        return;
      }
    }
    throw new Error(`${key}: refused for ${Math.round(refusedMs)} ms; last: ${this.#lastRefusal}`);
  }

  async #attempt(http: HttpClient, key: string, value: string | undefined, id: string): Promise<'acknowledged' | 'refused' | 'in doubt'> {
    let answer: Answer;
    try {
      const headers = { 'idempotency-key': id };
      answer =
        value === undefined ? await http.delete(key, headers) : await http.put(key, value, { ...headers, 'content-type': 'text/plain' });
    } catch (error) {
      // A connection that was never made carried nothing.
      return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? 'refused' : 'in doubt';
    }
    if ([201, 204].includes(answer.status) || (value === undefined && answer.status === 404)) return 'acknowledged';
    if (!isTroubleAnswer(answer)) throw new Error(`${key}: unexpected answer ${answer.status} ${answer.text}`);
    if (answer.status !== 503) return 'in doubt';
    this.#lastRefusal = answer.text;
    return 'refused';
  }
}

/** Against hangs only: a busy machine may take long to settle after a restart. */
const REFUSED_MS_MAX = 300_000;

export interface Findings {
  read: number;
  /** Acknowledged, and not there. */
  readonly lost: string[];
  /** There, with a state it never was put into, or was already changed from. */
  readonly wrong: string[];
}

/** Reads all keys back, with a token that makes every arm show the newest state. */
export async function readBack(http: HttpClient, writes: AcknowledgedWrites, token: string, concurrency: number): Promise<Findings> {
  const findings: Findings = { read: 0, lost: [], wrong: [] };
  const keys = [...writes.keys];
  const next = keys.values();
  const reader = async () => {
    for (const key of next) {
      const answer = await http.get(key, { 'diptych-revision': token });
      if (![200, 404].includes(answer.status)) throw new Error(`${key}: unexpected answer ${answer.status} ${answer.text}`);
      const found = answer.status === 200 ? answer.text : undefined;
      findings.read++;
      if (writes.possible(key).includes(found)) continue;
      (found === undefined ? findings.lost : findings.wrong).push(key);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, reader));
  return findings;
}

/** All keys there are, by the list call. */
export async function listKeys(http: HttpClient, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for (let after: string | undefined; ;) {
    const answer = await http.list({ prefix, limit: '1000', ...(after === undefined ? {} : { after }) });
    if (answer.status !== 200) throw new Error(`list: unexpected answer ${answer.status} ${answer.text}`);
    const page = answer.json<{ keys: Array<{ key: string }>; next?: string | null }>();
    for (const { key } of page.keys) keys.push(key);
    if (page.next === undefined || page.next === null) return keys;
    after = page.next;
  }
}
