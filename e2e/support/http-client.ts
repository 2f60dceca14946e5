import { Pool } from 'undici';

/**
 * A client that sends what it is told: paths are not normalised (`..` and `%2e%2e` leave as they are), statuses never throw,
 * redirects are not followed, nothing is retried. Requests that break HTTP itself go through `raw-http.ts`.
 */
export class HttpClient implements AsyncDisposable {
  readonly origin: string;
  readonly #pool: Pool;

  constructor(origin: string, options: { connections?: number; timeoutMs?: number } = {}) {
    const timeoutMs = options.timeoutMs ?? 15_000;
    this.origin = origin;
    this.#pool = new Pool(origin, {
      connections: options.connections ?? 64,
      pipelining: 1,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      connectTimeout: timeoutMs,
    });
  }

  /** @throws what undici throws when there is no answer: refused, reset, timed out */
  async send(
    method: string,
    path: string,
    options: { headers?: Record<string, string>; body?: string | Uint8Array } = {},
  ): Promise<Answer> {
    const { statusCode, headers, body } = await this.#pool.request({
      method: method,
      path,
      headers: options.headers ?? {},
      body: options.body ?? null,
    });
    const bytes = Buffer.from(await body.arrayBuffer());
    return answerOf(statusCode, headers as Record<string, string>, bytes);
  }

  put(key: string, value: string | Uint8Array, headers: Record<string, string> = {}): Promise<Answer> {
    const type = { 'content-type': 'application/octet-stream' };
    return this.send('PUT', pathOf(key), { headers: { ...type, ...headers }, body: value });
  }

  get(key: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send('GET', pathOf(key), { headers });
  }

  head(key: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send('HEAD', pathOf(key), { headers });
  }

  delete(key: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.send('DELETE', pathOf(key), { headers });
  }

  list(query: Record<string, string> = {}): Promise<Answer> {
    return this.send('GET', `/v1/keys?${new URLSearchParams(query).toString()}`);
  }

  /** Ends at once; what is in flight fails. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }
}

export interface Answer {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
  readonly text: string;
  json<T = unknown>(): T;
}

export function answerOf(status: number, headers: Record<string, string>, bytes: Buffer): Answer {
  return {
    status,
    headers,
    bytes,
    get text() {
      return bytes.toString('utf8');
    },
    json: <T>() => JSON.parse(bytes.toString('utf8')) as T,
  };
}

/** Every byte that is not a letter or a digit escaped: the spelling no URL parser on the way can mistake for a path. */
export function encodeKey(key: string): string {
  let text = '';
  for (const byte of Buffer.from(key, 'utf8')) {
    const char = String.fromCharCode(byte);
    text += /[A-Za-z0-9]/.test(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}

export function pathOf(key: string): string {
  return `/v1/keys/${encodeKey(key)}`;
}
