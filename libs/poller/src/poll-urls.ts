import { Channel, DeadlineWheel, DiptychError, hasCode, Lifetime, settleWithin, within } from '@diptych/kernel';
import { seededRandom, waitMs } from './backoff.js';
import { checkedOptions, type CheckedOptions, checkedUrl, type PollOptions } from './poll-options.js';

/** A URL came up or went down. The first answer is a change from `unknown`. */
export interface StateChange {
  readonly url: string;
  readonly from: State | 'unknown';
  readonly to: State;
  /** HTTP status, when there was an answer. */
  readonly status?: number;
  /** Why it is down. */
  readonly reason?: string;
  /** When the answer came, or its time was over: Unix time. */
  readonly atMs: number;
}

export type State = 'up' | 'down';

/**
 * Polls URLs and gives each change of their state, until its `signal` aborts (the loop then ends) or the loop over it is left.
 * Either way all of it ends at once: requests under way are aborted, and no timer and no socket is left when the loop has
 * ended. Changes not yet taken are dropped then.
 *
 * Nothing starts before the first change is asked for. Changes of one URL come in their order, and none is left out: while
 * the consumer is slow, polling stands still.
 *
 * @throws INVALID_REQUEST for a bad option or URL; for a URL of an asynchronous source, or when it gave none, from the loop
 */
export function pollUrls(options: PollOptions): UrlPolling {
  return new UrlPolling(options);
}

/** One URL and what is known of it. It travels through the channels, and only the task that holds it looks at it. */
interface Watch {
  readonly url: URL;
  readonly random: () => number;
  state: State | 'unknown';
  failuresInRow: number;
}

interface Answer {
  readonly to: State;
  readonly status?: number;
  readonly reason?: string;
  readonly atMs: number;
}

/**
 * "Share memory by communicating", after the URL poller of Go's code walk. Tasks that share nothing but bounded channels:
 *
 *   source ──pending──▶ pollers 1 to N ──polled──▶ collector ──changes──▶ the loop of the consumer
 *               ▲                                      │
 *               └────────────── sleeping ◀─────────────┘
 *
 * A URL is in one place at a time, so at most one poller has it, and nothing needs a lock. The collector never sends to
 * `pending` itself but lays a URL to sleep, so the ring cannot block on itself; when the consumer stops taking changes, the
 * collector waits, then the pollers, and everything else stays where it is.
 */
export class UrlPolling implements AsyncIterableIterator<StateChange>, AsyncDisposable {
  readonly #options: CheckedOptions;
  readonly #urls: Iterable<string | URL> | AsyncIterable<string | URL>;
  readonly #signal: AbortSignal | undefined;
  readonly #lifetime: Lifetime;
  /** One timer for all that sleep and all that wait for an answer. */
  readonly #wheel: DeadlineWheel;
  readonly #pending: Channel<Watch>;
  readonly #polled: Channel<{ watch: Watch; answer: Answer }>;
  readonly #changes: Channel<StateChange>;
  readonly #sleeping = new Map<Watch, Disposable>();
  #started = false;
  #failure: { error: unknown } | undefined;

  constructor(options: PollOptions) {
    this.#options = checkedOptions(options);
    // A list is checked here and now; a source is checked as it comes.
    this.#urls = Symbol.asyncIterator in options.urls ? options.urls : uniqueUrls(options.urls);
    this.#signal = options.signal;
    const { clock, pollers, urlsMax, changesMax } = this.#options;
    this.#lifetime = new Lifetime('url polling', { clock });
    this.#wheel = new DeadlineWheel({ clock });
    // Those that wake up wait in line for a poller: at most all URLs, and the source.
    this.#pending = new Channel({ capacity: pollers, sendersMax: urlsMax + 1, receiversMax: pollers });
    this.#polled = new Channel({ capacity: pollers, sendersMax: pollers });
    this.#changes = new Channel({ capacity: changesMax });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<StateChange, undefined>> {
    this.#start();
    const change = await this.#changes.receive();
    if (!change.done && !this.#lifetime.signal.aborted) return change;
    await this.#stop();
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure.error;
    return { done: true, value: undefined };
  }

  /** Ends it, as leaving the loop does. Safe to repeat. */
  async return(): Promise<IteratorResult<StateChange, undefined>> {
    await this.#stop();
    return { done: true, value: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }

  #start(): void {
    if (this.#started || this.#lifetime.signal.aborted) return;
    this.#started = true;
    const stop = () => void this.#stop();
    if (this.#signal?.aborted) return stop();
    this.#signal?.addEventListener('abort', stop, { once: true });
    this.#lifetime.own('signal of the caller', () => this.#signal?.removeEventListener('abort', stop));
    const onFailure = (error: unknown) => {
      this.#failure ??= { error };
      stop();
    };
    this.#lifetime.spawn('collector', () => this.#collect(), onFailure);
    for (let index = 1; index <= this.#options.pollers; index++)
      this.#lifetime.spawn(`poller ${index}`, (signal) => this.#poll(signal), onFailure);
    this.#lifetime.spawn('source', (signal) => this.#feed(signal), onFailure);
  }

  /** Closed channels end the loops over them, and the signal ends what waits for a server or for the source. */
  #stop(): Promise<void> {
    for (const channel of [this.#pending, this.#polled, this.#changes]) channel.close();
    for (const sleep of this.#sleeping.values()) sleep[Symbol.dispose]();
    this.#sleeping.clear();
    return this.#lifetime.close();
  }

  async #feed(signal: AbortSignal): Promise<void> {
    const { urlsMax, seed } = this.#options;
    const known = new Set<string>();
    const iterator = Symbol.asyncIterator in this.#urls ? this.#urls[Symbol.asyncIterator]() : this.#urls[Symbol.iterator]();
    try {
      for (
        let next = await unlessAborted(iterator.next(), signal);
        next && !next.done;
        next = await unlessAborted(iterator.next(), signal)
      ) {
        const url = checkedUrl(next.value);
        if (known.has(url.href)) continue;
        if (known.size >= urlsMax)
          throw new DiptychError('INVALID_REQUEST', `more than ${urlsMax} URLs to poll; raise urlsMax or poll fewer`);
        known.add(url.href);
        await this.#pending.send({ url, random: seededRandom(seed, url.href), state: 'unknown', failuresInRow: 0 });
      }
      if (known.size === 0 && !signal.aborted) throw new DiptychError('INVALID_REQUEST', 'there is no URL to poll');
    } finally {
      // Told, not waited for: a source that hangs in its next URL would hold up the end.
      void Promise.resolve(iterator.return?.()).catch(() => undefined);
    }
  }

  async #poll(signal: AbortSignal): Promise<void> {
    for await (const watch of this.#pending) {
      // What was handed over in the very step that ended it all is not polled any more.
      if (signal.aborted) return;
      await this.#polled.send({ watch, answer: await this.#ask(watch.url) });
    }
  }

  async #ask(url: URL): Promise<Answer> {
    const { clock, method, probe, timeoutMs, isUp } = this.#options;
    const controller = new AbortController();
    const context = within(timeoutMs, { signal: this.#lifetime.signal, clock });
    let status: number;
    try {
      status = await settleWithin(probe(url, { method, signal: controller.signal }), context, url.href, this.#wheel);
    } catch (error) {
      const reason = hasCode(error, 'DEADLINE_EXCEEDED') ? `no answer within ${timeoutMs} ms` : reasonOf(error);
      return { to: 'down', reason, atMs: clock.wallMs() };
    } finally {
      controller.abort();
    }
    const atMs = clock.wallMs();
    return isUp(status, url.href) ? { to: 'up', status, atMs } : { to: 'down', status, reason: `answered ${status}`, atMs };
  }

  async #collect(): Promise<void> {
    for await (const { watch, answer } of this.#polled) {
      const from = watch.state;
      watch.state = answer.to;
      watch.failuresInRow = answer.to === 'up' ? 0 : watch.failuresInRow + 1;
      if (from !== answer.to) await this.#changes.send({ url: watch.url.href, from, ...answer });
      this.#sleep(watch);
    }
  }

  #sleep(watch: Watch): void {
    if (this.#lifetime.signal.aborted) return;
    const wakeMs = this.#options.clock.nowMs() + waitMs(watch.failuresInRow, this.#options, watch.random);
    const wake = () => {
      this.#sleeping.delete(watch);
      // Refused only because the channel was closed, that is, all of it ends.
      this.#pending.send(watch).catch(() => undefined);
    };
    this.#sleeping.set(watch, this.#wheel.at(wakeMs, wake));
  }
}

/** What a promise gives, or undefined as soon as the signal aborts. */
async function unlessAborted<T>(promise: T | Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) return undefined;
  let onAbort: () => void = () => undefined;
  const aborted = new Promise<undefined>((resolve) => {
    onAbort = () => resolve(undefined);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function uniqueUrls(urls: Iterable<string | URL>): URL[] {
  const unique = new Map(Array.from(urls, checkedUrl).map((url) => [url.href, url]));
  if (unique.size === 0) throw new DiptychError('INVALID_REQUEST', 'there is no URL to poll');
  return [...unique.values()];
}

/** `ECONNREFUSED` says more, and says it shorter, than the message around it. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  return code ?? error.message;
}
