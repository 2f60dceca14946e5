import type { CallContext, Clock } from '@diptych/kernel';
import { assertAlive, DiptychError, systemClock } from '@diptych/kernel';
import type {
  AppendReply,
  AppendRequest,
  Commit,
  CommitEvent,
  CommittedPage,
  CommittedRequest,
  Entry,
  ListReply,
  LogPort,
  Position,
  ReadReply,
  ReadRequest,
  Report,
} from '@diptych/log';
import { KEY_BYTES_MAX } from '@diptych/log';
import type { Subscription } from '@diptych/messaging';

/**
 * A log in memory whose every delay is in the test's hands: when a read looks at the state, when its answer leaves, and what becomes of
 * the events. With nothing held it answers at once and tells of commits inside `append`, as the log in one process does.
 */
export class ModelLog implements LogPort {
  readonly delivery: Subscription['delivery'];
  /** Reads wait in `heldReads`. */
  holdReads = false;
  /** Events wait in `heldEvents`. */
  holdEvents = false;
  /** Thrown by `committed`. */
  committedError: DiptychError | undefined;
  readonly heldReads: HeldRead[] = [];
  readonly heldEvents: CommitEvent[] = [];
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<(event: CommitEvent) => void>();
  #commits: Commit[] = [];
  #incarnation = 1;
  #revision = 0;
  #knownAfter = 0;
  reads = 0;
  committedCalls = 0;

  constructor(options: { delivery?: Subscription['delivery']; clock?: Clock } = {}) {
    this.delivery = options.delivery ?? 'synchronous';
    this.#clock = options.clock ?? systemClock;
  }

  get head(): Position {
    return { incarnation: String(this.#incarnation).padStart(16, 'a'), partition: 0, revision: this.#revision };
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  put(key: string, value: string | Uint8Array): Position {
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    this.#commit(key, { key, value: bytes, contentType: 'text/plain', revision: this.#revision + 1 });
    return this.head;
  }

  delete(key: string): Position {
    this.#commit(key, undefined);
    return this.head;
  }

  beacon(head = this.head, sentWallMs = this.#clock.wallMs()): void {
    this.#send({ kind: 'beacon', head, sentWallMs });
  }

  /** Gives what is held to the listeners, from the front. */
  deliver(count = this.heldEvents.length): void {
    for (const event of this.heldEvents.splice(0, count)) this.tell(event);
  }

  tell(event: CommitEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** Compaction: what came before is no longer known to `committed`. */
  compact(): void {
    this.#commits = [];
    this.#knownAfter = this.#revision;
  }

  /** History begins anew with the given content. */
  restart(content: Record<string, string> = {}): void {
    this.#incarnation++;
    this.#entries.clear();
    this.#revision = 0;
    this.compact();
    for (const [key, value] of Object.entries(content))
      this.#entries.set(key, { key, value: Buffer.from(value), contentType: 'text/plain', revision: ++this.#revision });
    this.#knownAfter = this.#revision;
  }

  async append({ mutation }: AppendRequest, context: CallContext): Promise<AppendReply> {
    assertAlive(context, this.#clock);
    const existed = this.#entries.has(mutation.key);
    const position = mutation.kind === 'put' ? this.put(mutation.key, mutation.value) : this.delete(mutation.key);
    return { position, existed };
  }

  read({ key }: ReadRequest, context: CallContext): Promise<ReadReply> {
    this.reads++;
    if (Buffer.byteLength(key) > KEY_BYTES_MAX) return Promise.reject(new DiptychError('TOO_LARGE', 'the key is too long'));
    if (!this.holdReads) return Promise.resolve(this.#show(key));
    const { promise, resolve, reject } = Promise.withResolvers<ReadReply>();
    let shown: ReadReply | undefined;
    const held: HeldRead = {
      key,
      context,
      get looked() {
        return shown !== undefined;
      },
      look: () => void (shown ??= this.#show(key)),
      answer: () => {
        held.look();
        this.heldReads.splice(this.heldReads.indexOf(held), 1);
        resolve(shown!);
      },
      fail: (error) => {
        this.heldReads.splice(this.heldReads.indexOf(held), 1);
        reject(error);
      },
    };
    this.heldReads.push(held);
    return promise;
  }

  async committed({ after, limit }: CommittedRequest): Promise<CommittedPage> {
    this.committedCalls++;
    if (this.committedError) throw this.committedError;
    const { head } = this;
    const sentWallMs = this.#clock.wallMs();
    if (after.incarnation !== head.incarnation || after.revision < this.#knownAfter) return { kind: 'resync', head, sentWallMs };
    return { kind: 'page', commits: this.#commits.filter(({ revision }) => revision > after.revision).slice(0, limit), head, sentWallMs };
  }

  async commits(listener: (event: CommitEvent) => void): Promise<Subscription> {
    this.#listeners.add(listener);
    return { delivery: this.delivery, [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  list(): Promise<ListReply> {
    throw new Error('the model log lists nothing');
  }

  report(): Promise<Report> {
    throw new Error('the model log reports nothing');
  }

  #show(key: string): ReadReply {
    return { entry: this.#entries.get(key), asOf: this.head };
  }

  #commit(key: string, entry: Entry | undefined): void {
    const commit = { key, revision: this.#revision + 1, previous: this.#revision, deleted: entry === undefined };
    this.#revision++;
    if (entry) this.#entries.set(key, entry);
    else this.#entries.delete(key);
    this.#commits.push(commit);
    this.#send({ kind: 'commit', incarnation: this.head.incarnation, partition: 0, commit });
  }

  #send(event: CommitEvent): void {
    if (this.holdEvents) this.heldEvents.push(event);
    else this.tell(event);
  }
}

export interface HeldRead {
  readonly key: string;
  readonly context: CallContext;
  readonly looked: boolean;
  /** Looks at the state now; the answer will be that. */
  look(): void;
  /** Looks, if it has not yet, and lets the answer go. */
  answer(): void;
  fail(error: DiptychError): void;
}
