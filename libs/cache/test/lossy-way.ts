import type { Clock } from '@diptych/kernel';
import { DiptychError } from '@diptych/kernel';
import type { CommitEvent, CommittedPage, CommittedRequest, LogPort, ReadRequest } from '@diptych/log';
import type { ModelLog } from './model-log.js';

/** How the way between log and cache is just now. Times are of one message, one way. */
export interface Weather {
  /** Share of the events that never arrive. */
  readonly loss: number;
  /** Share that arrives twice. */
  readonly repeats: number;
  /** Each event takes any time up to this, so that they overtake each other. */
  readonly eventDelayMs: number;
  readonly callDelayMs: number;
  /** `calls`: they fail, and events go on to come; `all`: no event arrives either. */
  readonly cut: 'no' | 'calls' | 'all';
}

export const CALM: Weather = { loss: 0, repeats: 0, eventDelayMs: 0, callDelayMs: 0, cut: 'no' };

/** The way between a log and a reader that can stand still: what arrives meanwhile waits in its socket. */
export class LossyWay {
  readonly #log: ModelLog;
  readonly #clock: Clock;
  readonly #random: () => number;
  #socket: Array<() => void> | undefined;
  weather: Weather = CALM;

  /** @param clock by which messages take their time */
  constructor(log: ModelLog, clock: Clock, random: () => number) {
    this.#log = log;
    this.#clock = clock;
    this.#random = random;
  }

  get isFrozen(): boolean {
    return this.#socket !== undefined;
  }

  freeze(): void {
    this.#socket = [];
  }

  /** @returns what reads the socket */
  thaw(): () => void {
    const arrived = this.#socket ?? [];
    this.#socket = undefined;
    return () => arrived.forEach((deliver) => deliver());
  }

  /** The log as the cache reaches it. */
  port(): LogPort {
    return {
      ...({} as LogPort),
      read: (request: ReadRequest, context) => this.#call(() => this.#log.read(request, context)),
      committed: (request: CommittedRequest): Promise<CommittedPage> => this.#call(() => this.#log.committed(request)),
      commits: (listener: (event: CommitEvent) => void) => this.#log.commits((event) => this.#send(event, listener)),
    };
  }

  /** There, and back: what the log says is of the moment between. */
  async #call<T>(ask: () => Promise<T>): Promise<T> {
    await this.#way((arrived) => arrived());
    const answer = await ask();
    await this.#way((arrived) => this.#arrive(arrived));
    return answer;
  }

  #way(arrive: (arrived: () => void) => void): Promise<void> {
    const delayMs = this.weather.callDelayMs * this.#random();
    const lost = () => new DiptychError('UNAVAILABLE', 'cut off');
    if (this.weather.cut !== 'no') return Promise.reject(lost());
    return new Promise((resolve, reject) => {
      const arrived = () => arrive(() => (this.weather.cut === 'no' ? resolve() : reject(lost())));
      if (delayMs === 0) arrived();
      else this.#clock.after(delayMs, arrived);
    });
  }

  #send(event: CommitEvent, listener: (event: CommitEvent) => void): void {
    const { loss, repeats, eventDelayMs } = this.weather;
    if (this.#random() < loss) return;
    for (let copies = this.#random() < repeats ? 2 : 1; copies > 0; copies--) {
      const arrive = () => {
        if (this.weather.cut !== 'all') this.#arrive(() => listener(event));
      };
      const delayMs = eventDelayMs * this.#random();
      if (delayMs === 0) arrive();
      else this.#clock.after(delayMs, arrive);
    }
  }

  #arrive(deliver: () => void): void {
    if (this.#socket) this.#socket.push(deliver);
    else deliver();
  }
}
