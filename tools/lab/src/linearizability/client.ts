import { Client } from 'undici';
import type { EntityTags } from './entity-tags.js';
import { ABSENT, type Action, type Operation, type Outcome } from './register.js';

/** A client with one connection that does one operation after the other, and notes what it may believe of each. */
export class RegisterClient implements AsyncDisposable {
  readonly #client: Client;

  constructor(url: string) {
    this.#client = new Client(url, { headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS, connectTimeout: TIMEOUT_MS, pipelining: 1 });
  }

  /**
   * @param tags which this adds to
   * @returns undefined when it was refused for certain; a value that nobody can have written is -3
   * @throws Error for an answer that the interface does not have
   */
  async perform(key: string, action: Action, tags: EntityTags): Promise<Operation | undefined> {
    const calledAt = performance.now();
    const outcome = await this.#outcomeOf(key, action, tags);
    return outcome && { action, outcome, calledAt, returnedAt: performance.now() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.destroy();
  }

  async #outcomeOf(key: string, action: Action, tags: EntityTags): Promise<Outcome | undefined> {
    const method = action.kind === 'get' ? 'GET' : action.kind === 'put' ? 'PUT' : 'DELETE';
    const body = action.kind === 'put' ? bodyOf(action.value) : null;
    try {
      const path = `/v1/keys/${encodeURIComponent(key)}`;
      const {
        statusCode,
        headers,
        body: answer,
      } = await this.#client.request({ method, path, body, headers: conditionHeaders(key, action, tags) });
      const text = await answer.text();
      const outcome = outcomeOfAnswer(action, statusCode, text);
      const value = outcome?.kind === 'saw' ? outcome.state : action.kind === 'put' && outcome?.kind === 'done' ? action.value : ABSENT;
      if (value >= 0 && typeof headers.etag === 'string') tags.note(key, value, headers.etag);
      return outcome;
    } catch (error) {
      if (error instanceof UnexpectedAnswer) throw error;
      return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? undefined : { kind: 'unknown' };
    }
  }
}

class UnexpectedAnswer extends Error {}

function conditionHeaders(key: string, action: Action, tags: EntityTags): Record<string, string> {
  if (action.kind === 'get') return {};
  switch (action.condition.kind) {
    case 'none':
      return {};
    case 'ifAbsent':
      return { 'if-none-match': '*' };
    case 'ifPresent':
      return { 'if-match': '*' };
    case 'ifValue':
      return { 'if-match': tags.tagOf(key, action.condition.value) };
  }
}

function outcomeOfAnswer(action: Action, status: number, text: string): Outcome | undefined {
  if (status >= 500 || status === 408) return text.includes('"definite":true') ? undefined : { kind: 'unknown' };
  if (action.kind === 'get') {
    if (status === 200) return { kind: 'saw', state: valueOf(text) };
    if (status === 404) return { kind: 'saw', state: ABSENT };
  } else {
    if (status === 412 && action.condition.kind !== 'none') return { kind: 'failed' };
    if (action.kind === 'put' && (status === 201 || status === 204)) return { kind: 'done', existed: status === 204 };
    if (action.kind === 'delete' && (status === 204 || status === 404)) return { kind: 'done', existed: status === 204 };
  }
  throw new UnexpectedAnswer(`${action.kind} was answered with ${status}: ${text.slice(0, 200)}`);
}

/** Of several sizes, so that some take several blocks of a cache; the same for the same value, so that a torn one is none. */
function bodyOf(value: number): string {
  return `${value}:`.padEnd(16 + (value % 5 === 0 ? 2_000 : (value % 7) * 60), String(value % 10));
}

function valueOf(body: string): number {
  const value = Number.parseInt(body, 10);
  return Number.isSafeInteger(value) && value >= 0 && body === bodyOf(value) ? value : NOBODYS;
}

/** What no operation writes, so that to see it is a violation. */
const NOBODYS = -3;
const TIMEOUT_MS = 10_000;
