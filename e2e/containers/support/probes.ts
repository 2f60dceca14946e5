import { systemClock } from '@diptych/kernel';
import { HttpClient, type Answer } from '../../support/http-client.js';

export const CAPABILITIES = ['hit', 'miss', 'put', 'delete', 'list', 'report', 'health'] as const;
export type Capability = (typeof CAPABILITIES)[number];

/** One request: when it was due, whether its answer was right, and whether it was `good`: right within `TIMEOUT_MS`. */
export interface Probe {
  readonly capability: Capability;
  readonly dueMs: number;
  readonly doneMs: number;
  readonly right: boolean;
  readonly good: boolean;
  /** Status and code, or what the connection said. */
  readonly answer: string;
}

/** What a user waits; the panel is told so. */
export const TIMEOUT_MS = 1_000;
/** What the connection waits: on a busy machine an answer is late for reasons of its own. */
const CONNECTION_TIMEOUT_MS = 3_000;
/** Between two requests for one capability. */
export const PERIOD_MS = 60;
const IN_FLIGHT_MAX = 64;
export const WARM_KEYS = 20;
const WRITE_TRIES = 100;
/** Of what was written, afterwards. */
const READERS = 8;

/**
 * A user of a panel: asks for each capability every 60 ms whatever became of the requests before, with keys of its own, and remembers
 * which state each key may be in. `dueMs` is the clock of this process (`performance.now`).
 */
export class Probes implements AsyncDisposable {
  readonly probes: Probe[] = [];
  readonly #http: HttpClient;
  readonly #prefix: string;
  /** Per key, every state it may be found in; undefined stands for absent. */
  readonly #possible = new Map<string, ReadonlySet<string | undefined>>();
  readonly #acknowledged = new Set<string>();
  readonly #ticks: Disposable[] = [];
  /** When each was due. */
  readonly #flights = new Map<Promise<void>, number>();
  #count = 0;
  #deletable: string[] = [];

  private constructor(url: string, prefix: string) {
    this.#http = new HttpClient(url, { connections: IN_FLIGHT_MAX * CAPABILITIES.length, timeoutMs: CONNECTION_TIMEOUT_MS });
    this.#prefix = prefix;
  }

  /** Writes what will be read, and begins to ask. @throws Error when the panel does not take the first writes */
  static async start(url: string, prefix: string): Promise<Probes> {
    const probes = new Probes(url, prefix);
    for (let i = 0; i < WARM_KEYS; i++) {
      const key = `${prefix}/warm/${i}`;
      await probes.#certainly(async () => probes.#write(key, `value of ${key}`));
      await probes.#certainly(async () => probes.#read(key));
    }
    CAPABILITIES.forEach((capability, index) => {
      const offset = systemClock.after((PERIOD_MS / CAPABILITIES.length) * index, () => {
        probes.#ticks.push(systemClock.every(PERIOD_MS, () => probes.#tick(capability)));
      });
      probes.#ticks.push(offset);
    });
    return probes;
  }

  /** Probes of a capability that were due in a stretch of time. */
  due(capability: Capability, fromMs: number, toMs: number): Probe[] {
    return this.probes.filter((probe) => probe.capability === capability && probe.dueMs >= fromMs && probe.dueMs < toMs);
  }

  /** When the oldest request was due that has no answer yet; now without any. */
  get waitingSinceMs(): number {
    return Math.min(performance.now(), ...this.#flights.values());
  }

  /** No more requests; resolves when those under way have ended. */
  async stop(): Promise<void> {
    for (const tick of this.#ticks.splice(0)) tick[Symbol.dispose]();
    await Promise.all(this.#flights.keys());
  }

  /** Reads every key that was written or deleted. `lost`: in a state it cannot be in by what was acknowledged. */
  async readBack(): Promise<{ acknowledged: number; lost: string[] }> {
    const marker = await this.#http.put(`${this.#prefix}/marker`, 'after all');
    const token = marker.headers['diptych-revision'] ?? '';
    const lost: string[] = [];
    const unread = this.#possible.entries();
    const reader = async () => {
      for (const [key, possible] of unread) {
        const answer = await this.#http.get(key, { 'diptych-revision': token });
        const found = answer.status === 404 ? undefined : answer.text;
        if (![200, 404].includes(answer.status) || !possible.has(found)) lost.push(`${key}: ${answer.status} ${answer.text.slice(0, 80)}`);
      }
    };
    // They share the iterator: each key is read once.
    await Promise.all(Array.from({ length: READERS }, reader));
    return { acknowledged: this.#acknowledged.size, lost };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const tick of this.#ticks.splice(0)) tick[Symbol.dispose]();
    await this.#http[Symbol.asyncDispose]();
    await Promise.allSettled(this.#flights.keys());
  }

  #tick(capability: Capability): void {
    if (this.#flights.size >= IN_FLIGHT_MAX * CAPABILITIES.length) {
      const nowMs = performance.now();
      this.probes.push({ capability, dueMs: nowMs, doneMs: nowMs, right: false, good: false, answer: 'not sent' });
      return;
    }
    const flight = this.#probe(capability).finally(() => this.#flights.delete(flight));
    this.#flights.set(flight, performance.now());
  }

  async #probe(capability: Capability): Promise<void> {
    const dueMs = performance.now();
    let right = false;
    let text: string;
    try {
      let answer: Answer;
      [answer, right] = await this.#ask(capability, this.#count++);
      text = right ? String(answer.status) : `${answer.status} ${codeOf(answer)}`;
    } catch (error) {
      text = (error as NodeJS.ErrnoException).code ?? String(error);
    }
    const doneMs = performance.now();
    this.probes.push({ capability, dueMs, doneMs, right, good: right && doneMs - dueMs <= TIMEOUT_MS, answer: text });
  }

  async #ask(capability: Capability, n: number): Promise<[Answer, right: boolean]> {
    switch (capability) {
      case 'hit': {
        const key = `${this.#prefix}/warm/${n % WARM_KEYS}`;
        const answer = await this.#read(key);
        return [answer, answer.status === 200 && answer.text === `value of ${key}`];
      }
      case 'miss': {
        // Never written and never asked for: only the log knows that it is not there.
        const answer = await this.#read(`${this.#prefix}/cold/${n}`);
        return [answer, answer.status === 404];
      }
      case 'put': {
        const answer = await this.#write(`${this.#prefix}/put/${n}`, `value ${n}`);
        return [answer, answer.status === 201];
      }
      case 'delete': {
        const key = this.#deletable.shift() ?? `${this.#prefix}/put/${n}/absent`;
        const answer = await this.#delete(key);
        return [answer, answer.status === 204 || answer.status === 404];
      }
      case 'list': {
        const answer = await this.#http.send('GET', `/v1/keys?prefix=${this.#prefix}/warm/&limit=10`, { headers: DEADLINE });
        return [answer, answer.status === 200];
      }
      case 'report': {
        const answer = await this.#http.send('GET', `/v1/report?prefix=${this.#prefix}/warm/`, { headers: DEADLINE });
        return [answer, answer.status === 200];
      }
      case 'health': {
        const answer = await this.#http.send('GET', '/health/live');
        return [answer, answer.status === 200];
      }
    }
  }

  #read(key: string): Promise<Answer> {
    return this.#http.get(key, DEADLINE);
  }

  async #write(key: string, value: string): Promise<Answer> {
    const answer = await this.#change(key, value, () => this.#http.put(key, value, DEADLINE));
    if (answer.status === 201 && key.includes('/put/') && this.#count % 2 === 0) this.#deletable.push(key);
    return answer;
  }

  #delete(key: string): Promise<Answer> {
    return this.#change(key, undefined, () => this.#http.delete(key, DEADLINE));
  }

  /** Until it is answered the key may be in either state, and for good when the answer does not say which. */
  async #change(key: string, state: string | undefined, send: () => Promise<Answer>): Promise<Answer> {
    const before = this.#possible.get(key) ?? new Set([undefined]);
    this.#possible.set(key, new Set([...before, state]));
    const answer = await send();
    if (answer.status < 300) this.#acknowledged.add(key);
    if (answer.status < 300 || (state === undefined && answer.status === 404)) this.#possible.set(key, new Set([state]));
    // Definite: it did not and will not happen.
    else if ([400, 412, 413, 503, 507].includes(answer.status)) this.#possible.set(key, before);
    return answer;
  }

  async #certainly(send: () => Promise<Answer>): Promise<void> {
    let last = '';
    for (let attempt = 0; attempt < WRITE_TRIES; attempt++) {
      const answer = await send().catch((error: unknown) => void (last = String(error)));
      if (answer && answer.status < 300) return;
      if (answer) last = `${answer.status} ${answer.text}`;
      await new Promise<void>((resolve) => void systemClock.after(100, resolve));
    }
    throw new Error(`the panel does not take what the probes begin with: ${last}`);
  }
}

const DEADLINE = { 'diptych-timeout-ms': String(TIMEOUT_MS) };

function codeOf(answer: Answer): string {
  try {
    return answer.json<{ code?: string }>().code ?? '';
  } catch {
    return answer.text.slice(0, 40);
  }
}
