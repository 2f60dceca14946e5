import type { CacheGetReply, CachePort } from '@diptych/cache';
import { assertAlive, DiptychError, type CallContext } from '@diptych/kernel';
import type { AppendReply, AppendRequest, Condition, Entry, ListReply, LogPort, Position, ReadReply, Report } from '@diptych/log';

const INCARNATION = '0123456789abcdef';

/** The contract of the log over a map: enough of it to see what the edge makes of each answer. */
export class FakeLog implements LogPort {
  readonly entries = new Map<string, Entry>();
  readonly answers = new Map<string, { mutation: string; reply: AppendReply }>();
  readonly contexts: CallContext[] = [];
  revision = 0;
  /** Thrown by the next calls, once each. */
  readonly failures: unknown[] = [];
  /** Awaited by each call. */
  gate: Promise<unknown> | undefined;

  async append({ mutation, condition, requestId }: AppendRequest, context: CallContext): Promise<AppendReply> {
    await this.#enter(context);
    const value = mutation.kind === 'put' ? Buffer.from(mutation.value).toString('base64') : '';
    const shape = JSON.stringify({ ...mutation, value });
    const known = this.answers.get(requestId);
    if (known && known.mutation !== shape) throw new DiptychError('INVALID_REQUEST', 'this request id was used for another mutation');
    if (known) return known.reply;
    const before = this.entries.get(mutation.key);
    if (!holds(condition, before)) throw new DiptychError('CONFLICT', 'the condition does not hold');
    const revision = ++this.revision;
    if (mutation.kind === 'put') {
      const { key, contentType } = mutation;
      this.entries.set(key, { key, value: Uint8Array.from(mutation.value), contentType, revision });
    } else this.entries.delete(mutation.key);
    const reply = { position: this.position(revision), existed: before !== undefined };
    this.answers.set(requestId, { mutation: shape, reply });
    return reply;
  }

  async read({ key }: { key: string }, context: CallContext): Promise<ReadReply> {
    await this.#enter(context);
    return { entry: this.entries.get(key), asOf: this.position(this.revision) };
  }

  async list({ prefix, after, limit }: { prefix: string; after?: string; limit: number }, context: CallContext): Promise<ListReply> {
    await this.#enter(context);
    const all = [...this.entries.values()].sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
    const from = all.filter(
      ({ key }) => key.startsWith(prefix) && (after === undefined || Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0),
    );
    const keys = from.slice(0, limit).map(({ key, revision, value }) => ({ key, revision, bytes: value.length }));
    return from.length > limit ? { keys, next: keys.at(-1)!.key } : { keys };
  }

  async report({ prefix }: { prefix: string }, context: CallContext): Promise<Report> {
    await this.#enter(context);
    const entries = [...this.entries.values()].filter(({ key }) => key.startsWith(prefix));
    const valueBytes = entries.reduce((sum, { value }) => sum + value.length, 0);
    const hash = entries.length.toString(16).padStart(32, '0') + valueBytes.toString(16).padStart(32, '0');
    return {
      asOf: this.position(this.revision),
      entries: entries.length,
      keyBytes: 0,
      valueBytes,
      sizes: [0],
      contentHash: hash,
      topTrigrams: [],
    };
  }

  committed(): never {
    throw new Error('the gateway does not follow the log');
  }

  commits(): never {
    throw new Error('the gateway does not follow the log');
  }

  position(revision: number): Position {
    return { incarnation: INCARNATION, partition: 0, revision };
  }

  async #enter(context: CallContext): Promise<void> {
    this.contexts.push(context);
    assertAlive(context);
    if (this.failures.length > 0) throw this.failures.shift();
    await this.gate;
  }
}

function holds(condition: Condition | undefined, entry: Entry | undefined): boolean {
  switch (condition?.kind) {
    case 'ifAbsent':
      return entry === undefined;
    case 'ifPresent':
      return entry !== undefined;
    case 'ifRevision':
      return condition.anyOf.some(({ incarnation, revision }) => incarnation === INCARNATION && revision === entry?.revision);
    default:
      return true;
  }
}

/** Reads through to the log, always. */
export class FakeCache implements CachePort {
  readonly log: FakeLog;
  readonly requests: unknown[] = [];

  constructor(log: FakeLog) {
    this.log = log;
  }

  async get(request: { key: string }, context: CallContext): Promise<CacheGetReply> {
    this.requests.push(request);
    return { ...(await this.log.read(request, context)), hit: false };
  }

  stats(): never {
    throw new Error('the gateway does not ask for statistics');
  }

  purge(): never {
    throw new Error('the gateway does not purge');
  }
}
