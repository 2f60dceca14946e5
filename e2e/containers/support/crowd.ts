import { systemClock } from '@diptych/kernel';
import { HttpClient } from '../../support/http-client.js';
import { TIMEOUT_MS } from './probes.js';

export interface CrowdOptions {
  readonly users: number;
  /** Between the answer and the next thing a user wants. */
  readonly pauseMs: number;
  /** How often what failed is asked again, at once and without a thought. */
  readonly repeatsMax: number;
  /** What a user wants, as the method and the key. */
  readonly want: (user: number, n: number) => readonly ['GET' | 'PUT', key: string];
}

export interface CrowdTally {
  readonly wanted: number;
  readonly attempts: number;
}

/** Users beside those of the probes, who do nobody any good: each wants something, and asks again when it fails. */
export class Crowd implements AsyncDisposable {
  readonly #http: HttpClient;
  readonly #options: CrowdOptions;
  readonly #stopped = new AbortController();
  readonly #loops: Promise<void>[];
  #wanted = 0;
  #attempts = 0;

  constructor(url: string, options: CrowdOptions) {
    this.#options = options;
    this.#http = new HttpClient(url, { connections: options.users, timeoutMs: TIMEOUT_MS * 2 });
    this.#loops = Array.from({ length: options.users }, (_, user) => this.#use(user));
  }

  get tally(): CrowdTally {
    return { wanted: this.#wanted, attempts: this.#attempts };
  }

  /** Safe to repeat. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#loops);
    await this.#http[Symbol.asyncDispose]();
  }

  async #use(user: number): Promise<void> {
    const { pauseMs, repeatsMax, want } = this.#options;
    for (let n = 0; !this.#stopped.signal.aborted; n++) {
      const [method, key] = want(user, n);
      this.#wanted++;
      for (let attempt = 0; attempt <= repeatsMax && !this.#stopped.signal.aborted; attempt++) {
        this.#attempts++;
        if (await this.#isAnswered(method, key)) break;
      }
      await new Promise<void>((resolve) => void systemClock.after(pauseMs, resolve));
    }
  }

  async #isAnswered(method: 'GET' | 'PUT', key: string): Promise<boolean> {
    const headers = { 'diptych-timeout-ms': String(TIMEOUT_MS) };
    try {
      const { status } = method === 'GET' ? await this.#http.get(key, headers) : await this.#http.put(key, 'x', headers);
      return status < 500;
    } catch {
      return false;
    }
  }
}
