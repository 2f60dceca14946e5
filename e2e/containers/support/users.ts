import { HttpClient } from '../../support/http-client.js';
import { waitFor } from '@diptych/testing';

export interface Failure {
  readonly method: 'GET' | 'PUT';
  /** Status and body, or what the connection said. */
  readonly answer: string;
}

/** Users who write and read in turn, each the next when the last was answered, and remember what failed. Nothing is sent again. */
export class Users implements AsyncDisposable {
  readonly count: number;
  readonly failures: Failure[] = [];
  readonly #http: HttpClient;
  readonly #stopped = new AbortController();
  readonly #loops: Promise<void>[];
  #answered = 0;

  private constructor(url: string, count: number) {
    this.count = count;
    // One more: what hangs holds its connection.
    this.#http = new HttpClient(url, { connections: count * 2, timeoutMs: 4_000 });
    this.#loops = Array.from({ length: count }, (_, user) => this.#use(user));
  }

  /** @throws Error when nothing is answered rightly at first */
  static async start(url: string, { count }: { count: number }): Promise<Users> {
    const users = new Users(url, count);
    await users.answered(count * 4).catch(async (error: unknown) => {
      await users[Symbol.asyncDispose]();
      throw error;
    });
    users.failures.length = 0;
    return users;
  }

  /** Resolves when each of them has been answered rightly so many times more, on average. */
  async answered(more: number): Promise<void> {
    const enough = this.#answered + more * this.count;
    await waitFor(() => this.#answered >= enough, { timeoutMs: 60_000, pollMs: 20, what: `${more} right answers to each user` });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort();
    await Promise.allSettled(this.#loops);
    await this.#http[Symbol.asyncDispose]();
  }

  async #use(user: number): Promise<void> {
    for (let n = 0; !this.#stopped.signal.aborted; n++) {
      const key = `user/${user}/${n % 20}`;
      await this.#try('PUT', async () => (await this.#http.put(key, `value ${n}`)).status);
      await this.#try('GET', async () => (await this.#http.get(key)).status);
    }
  }

  async #try(method: Failure['method'], send: () => Promise<number>): Promise<void> {
    let answer: string;
    try {
      const status = await send();
      // A read may be served before its cache has heard of the write.
      if (status < 300 || (status === 404 && method === 'GET')) return void this.#answered++;
      answer = String(status);
    } catch (error) {
      answer = (error as NodeJS.ErrnoException).code ?? String(error);
    }
    this.failures.push({ method, answer });
  }
}
