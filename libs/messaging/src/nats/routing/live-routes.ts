import { DiptychError, systemClock, type Clock } from '@diptych/kernel';
import type { Message } from '../client/message.js';
import { createInbox } from '@nats-io/transport-node';
import type { Connection } from '../connection.js';
import type { PortIdentity } from '../../port.js';
import type { FaultListener } from '../../faults.js';
import { encodeAsk, LEASE_MS, membersSubject, OtherVersionError, parseBeat } from './beat.wire.js';
import { CATALOG, parseCatalog } from './catalog.js';
import type { Member } from './member.js';
import { ROUND_MS } from './member.js';
import { Members } from './members.js';
import type { Destination, Routes } from './routes.js';
import { queueGroupOf } from './routes.js';

/** What routing needs of a connection. */
export type Line = Pick<Connection, 'status' | 'onStatus' | 'publish' | 'flush'> & {
  subscribe(subject: string, onMessage: (message: Message) => void): Disposable;
};

export interface LiveRoutesOptions {
  /** Nobody is at the address of the destination any more: what is outstanding there will not be answered. */
  readonly onLost: (destination: Destination) => void;
  /** Hears, once a connection, of beats that cannot be read. */
  readonly onFault?: FaultListener;
  /** Whether each instance is asked which patterns it handles. Default false: all handle the same. */
  readonly withCatalogs?: boolean;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** As a link shows it, over all its ports. */
export interface RoutingCounts {
  /** Instances that are known, those that drain or are ejected included. */
  readonly members: number;
  /** Instances that get no calls now because they have fallen silent. */
  readonly ejected: number;
  /** How often an instance was ejected, since the link was made. */
  readonly ejections: number;
}

/**
 * Routes of a port by the live instances of it: listens to their beats, asks who is there when it begins and when the connection is made anew, and
 * makes rounds (see `Members`) while one of them is in doubt. With nobody known to take calls they go to the queue group.
 *
 * While nobody is in doubt it sends one short message in some seconds, and its one timer fires about three times a second.
 */
export class LiveRoutes implements Routes {
  readonly anyone: Destination;
  readonly #line: Line;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #members: Members;
  readonly #subject: string;
  readonly #inbox = createInbox();
  readonly #name: string;
  readonly #withCatalogs: boolean;
  readonly #onFault: FaultListener;
  #isToldOfVersion = false;
  readonly #owned: Disposable[];
  #timer: Disposable | undefined;
  #timerMs = Number.POSITIVE_INFINITY;
  #closed = false;
  /** Of the connection. An echo counts only on the one it was asked on. */
  #epoch = 0;
  #roundMs = Number.NEGATIVE_INFINITY;
  #roundIsOut = false;
  #askedMs = Number.NEGATIVE_INFINITY;
  /** How long before the end of a lease this one asks. Drawn anew each time, so that of many callers one asks, and the others see it in the next beat. */
  #renewMs = 0;

  constructor(port: PortIdentity, line: Line, options: LiveRoutesOptions) {
    const { onLost, onFault = () => undefined, withCatalogs = false, clock = systemClock, random = Math.random } = options;
    this.#name = port.name;
    this.#onFault = onFault;
    this.#withCatalogs = withCatalogs;
    this.anyone = queueGroupOf(port);
    this.#line = line;
    this.#clock = clock;
    this.#random = random;
    this.#members = new Members(port, { clock, random, onLost, onDoubt: () => this.#lookAt(clock.nowMs()) });
    this.#subject = membersSubject(port);
    this.#owned = [
      line.subscribe(this.#subject, ({ data }) => this.#take(data)),
      line.subscribe(`${this.#inbox}.*`, (message) => this.#takeAnswer(message)),
      line.onStatus((status) => (status === 'connected' ? this.#begin() : this.#end())),
    ];
    if (line.status === 'connected') this.#begin();
  }

  get counts(): RoutingCounts {
    const { size, ejected, ejections } = this.#members;
    return { members: size, ejected, ejections };
  }

  choose(routingKey: string | undefined): Destination {
    return this.#members.choose(routingKey) ?? this.anyone;
  }

  /** As `Members` has them. */
  get open(): readonly Member[] {
    return this.#members.open;
  }

  get listening(): readonly Member[] {
    return this.#members.listening;
  }

  /** Safe to repeat. */
  close(): void {
    this.#closed = true;
    this.#end();
    for (const owned of this.#owned.splice(0)) owned[Symbol.dispose]();
  }

  /** Connected, for the first time or anew. */
  #begin(): void {
    this.#ask(`${this.#inbox}.${ASK}`);
    this.#lookAt(this.#clock.nowMs() + ROUND_MS);
  }

  #end(): void {
    this.#epoch++;
    this.#roundIsOut = false;
    this.#isToldOfVersion = false;
    this.#members.forgetAll();
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#timerMs = Number.POSITIVE_INFINITY;
  }

  #take(data: Uint8Array): void {
    let beat;
    try {
      beat = parseBeat(data);
    } catch (error) {
      if (error instanceof OtherVersionError) this.#tellOfVersion(error);
      // Anybody can publish anything there; it is not worth a word that somebody did.
      return;
    }
    const member = this.#members.heard(beat);
    if (member && this.#withCatalogs && !member.handles) this.#askCatalog(member);
  }

  /** Its instances are not known, and so get calls only while no others are, or from who reads their beats. */
  #tellOfVersion(error: OtherVersionError): void {
    if (this.#isToldOfVersion) return;
    this.#isToldOfVersion = true;
    this.#onFault(new DiptychError('INVALID_REQUEST', `an instance of ${this.#name} gets calls by its queue group only: ${error.message}`));
  }

  /** Again with its next beats, should question or answer get lost. */
  #askCatalog(member: Member): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs - member.catalogAskedMs < CATALOG_PAUSE_MS) return;
    member.catalogAskedMs = nowMs;
    this.#publish(`${this.#subject}.catalog.${member.instance}`, EMPTY, `${this.#inbox}.${CATALOG_ANSWER}`);
  }

  #takeCatalog(data: Uint8Array): void {
    try {
      const { instance, handled } = parseCatalog(data);
      this.#members.handles(instance, handled);
    } catch {
      // As with beats: without it the instance gets calls by its queue group only.
    }
  }

  #takeAnswer({ subject, data, headers }: Message): void {
    if (data.byteLength > 0) return data[0] === CATALOG ? this.#takeCatalog(data) : this.#take(data);
    const instance = subject.slice(this.#inbox.length + 1);
    if (headers?.code === NO_RESPONDERS && instance !== ASK && instance !== CATALOG_ANSWER) this.#members.gone(instance);
  }

  /** Sets the timer, unless it fires before that anyway. */
  #lookAt(atMs: number): void {
    if (this.#closed || this.#timerMs <= atMs) return;
    this.#timer?.[Symbol.dispose]();
    this.#timerMs = atMs;
    this.#timer = this.#clock.after(Math.max(0, atMs - this.#clock.nowMs()), () => {
      this.#timerMs = Number.POSITIVE_INFINITY;
      this.#look();
    });
  }

  #look(): void {
    const nowMs = this.#clock.nowMs();
    if (this.#line.status !== 'connected') return;
    const doubted = this.#members.inDoubt(nowMs);
    for (const member of doubted) this.#askWhether(member, nowMs);
    if (doubted.length > 0) this.#startRound(nowMs);
    if (nowMs - this.#askedMs >= ASK_PAUSE_MS && (this.#members.size === 0 || this.#members.leaseEndMs - nowMs < this.#renewMs))
      this.#ask('');
    const nextMs = doubted.length > 0 ? nowMs + ROUND_MS : this.#members.nextDoubtMs(nowMs);
    this.#lookAt(Math.min(nowMs + LOOK_MAX_MS, Math.max(nextMs, nowMs + ROUND_MS)));
  }

  /** One at a time, and no sooner than `ROUND_MS` after the one before: what was missed is not made up for. */
  #startRound(nowMs: number): void {
    if (this.#roundIsOut || nowMs - this.#roundMs < ROUND_MS) return;
    const epoch = this.#epoch;
    this.#roundIsOut = true;
    this.#roundMs = nowMs;
    void this.#line.flush().then(() => {
      if (epoch !== this.#epoch) return;
      this.#roundIsOut = false;
      this.#members.roundPassed(nowMs);
    });
  }

  #askWhether(member: Member, nowMs: number): void {
    const pauseMs = member.doubted ? ROUND_MS : ALIVE_PAUSE_MS;
    if (nowMs - member.askedMs < pauseMs) return;
    member.askedMs = nowMs;
    member.doubted = false;
    this.#publish(`${this.#subject}.alive.${member.instance}`, EMPTY, `${this.#inbox}.${member.instance}`);
  }

  #ask(reply: string): void {
    this.#askedMs = this.#clock.nowMs();
    this.#renewMs = LEASE_MS * (1 / 6 + this.#random() / 3);
    this.#publish(`${this.#subject}.ask`, encodeAsk(this.#members.size), reply);
  }

  #publish(subject: string, data: Uint8Array, reply: string): void {
    try {
      this.#line.publish(subject, data, reply ? { reply } : {});
    } catch {
      // Not connected: all of it is asked again when it is.
    }
  }
}

/** What is answered, in place of an instance. */
const ASK = 'ask';
const CATALOG_ANSWER = 'catalog';
/** Between two questions for the catalog of one instance. */
const CATALOG_PAUSE_MS = 1_000;
/** Between two asks of one caller. */
const ASK_PAUSE_MS = 1_000;
/** Between two questions to a silent member. */
const ALIVE_PAUSE_MS = 1_000;
const LOOK_MAX_MS = 1_000;
const NO_RESPONDERS = 503;
const EMPTY = new Uint8Array(0);
