import { setTimeout as delay } from 'node:timers/promises';
import type { Answer, HttpClient } from './http-client.js';
import type { Problem } from './problem.js';

/**
 * A number of clients that each put a new key, read it and go on, until told to stop. Every key is written once, so that what became
 * of each request can be told apart afterwards.
 */
export class ClosedLoop {
  /** Answered with 201. */
  readonly acknowledged: string[] = [];
  /** Answered with a code that says: it did not and will not happen. */
  readonly refused: string[] = [];
  /** Answered with a code that leaves it open. */
  readonly indefinite: string[] = [];
  /** No answer at all: refused connections, and connections that ended. */
  readonly unanswered: string[] = [];
  /** Acknowledged, and not found by the read right after. No cache can hold an older state: nobody had asked for the key before. */
  readonly vanished: string[] = [];
  /** Answers by `PUT 201`, `GET 503 UNAVAILABLE` and so on. */
  readonly answers = new Map<string, number>();
  readonly #http: HttpClient;
  readonly #prefix: string;
  readonly #workers: Array<Promise<void>>;
  #stopping = false;

  constructor(http: HttpClient, prefix: string, workers = 32) {
    this.#http = http;
    this.#prefix = prefix;
    this.#workers = Array.from({ length: workers }, (_, w) => this.#work(w));
  }

  get answered(): number {
    return [...this.answers.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Every kind of answer that begins so, for example `PUT 5`. */
  kinds(begin: string): string[] {
    return [...this.answers.keys()].filter((kind) => kind.startsWith(begin)).sort();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#workers);
  }

  async #work(worker: number): Promise<void> {
    for (let i = 0; !this.#stopping; i++) {
      const key = `${this.#prefix}${worker}/${i}`;
      const put = await this.#send('PUT', () => this.#http.put(key, `value of ${key}`));
      this.#sort(key, put);
      const get = await this.#send('GET', () => this.#http.get(key));
      if (put?.status === 201 && get?.status === 404) this.vanished.push(key);
      // A refusal comes back at once; hammering would measure the client.
      if (!put || !get || put.status >= 500 || get.status >= 500) await delay(10);
    }
  }

  #sort(key: string, put: Answer | undefined): void {
    if (!put) this.unanswered.push(key);
    else if (put.status === 201) this.acknowledged.push(key);
    else if (put.json<Problem & { definite?: boolean }>().definite === true) this.refused.push(key);
    else this.indefinite.push(key);
  }

  async #send(method: string, send: () => Promise<Answer>): Promise<Answer | undefined> {
    let answer: Answer;
    try {
      answer = await send();
    } catch {
      return undefined;
    }
    const code = (answer.headers['content-type'] ?? '').startsWith('application/problem+json') ? ` ${answer.json<Problem>().code}` : '';
    const kind = `${method} ${answer.status}${code}`;
    this.answers.set(kind, (this.answers.get(kind) ?? 0) + 1);
    return answer;
  }
}
