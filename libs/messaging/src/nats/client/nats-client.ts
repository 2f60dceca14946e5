import type { Socket } from 'node:net';
import { connect as connectSocket, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { MsgHdrs } from '@nats-io/transport-node';
import { ClientSubscription } from './client-subscription.js';
import type { BrokerAddress, BrokerInfo, NatsClientOptions } from './broker.js';
import { parseInfo } from './broker.js';
import { Part } from '../../part.js';
import type { Message } from './message.js';
import type { BrokerListener } from './protocol-reader.js';
import { ProtocolReader } from './protocol-reader.js';
import { ProtocolWriter } from './protocol-writer.js';
import { explainRefusal, HEADERLESS, SILENT } from './refusal.js';

/**
 * One connection to one broker, as long as it lasts: it is not made again, and does not ask by itself whether the broker is there. Speaks the NATS client
 * protocol (https://docs.nats.io/reference/reference-protocols/nats-protocol) over TCP, or TLS where the broker has it.
 */
export class NatsClient implements BrokerListener {
  /** Resolves with the end of the connection, to why if that was nobody's wish. Never rejects. */
  readonly closed: Promise<Error | undefined>;
  /** What the broker refuses or complains of while connected: it says so beside the calls. Must not throw. */
  onRefusal: (text: string) => void = () => undefined;
  /** The broker says that it will end soon, perhaps again. Must not throw. */
  onLameDuck: () => void = () => undefined;
  readonly #options: NatsClientOptions;
  readonly #isTls: boolean;
  readonly #reader: ProtocolReader = new ProtocolReader(this);
  readonly #socket: Socket;
  #stream: Socket;
  #writer: ProtocolWriter;
  #info: BrokerInfo = {};
  readonly #subscriptions = new Map<number, ClientSubscription>();
  #lastSubscription = 0;
  /** Each hears of the answer to one PING, in their order. */
  readonly #pongs: Array<() => void> = [];
  /** Asked by the broker since it had last taken all that was sent. */
  #pingsUnread = 0;
  #opening: { resolve: (outcome: 'open' | 'needs TLS') => void; reject: (error: Error) => void } | undefined;
  #why: Error | undefined;
  #isClosed = false;
  #close!: (why: Error | undefined) => void;

  private constructor(options: NatsClientOptions, isTls: boolean) {
    this.#options = options;
    this.#isTls = isTls;
    this.closed = new Promise((resolve) => (this.#close = resolve));
    const { host, port } = options.address;
    const reader = this.#reader;
    // Whether the broker wants TLS is known only when it has said so, and Node cannot put TLS upon a socket that reads to memory of ours.
    const onread = { buffer: () => reader.space, callback: (bytes: number) => this.#take(bytes) };
    this.#stream = this.#socket = connectSocket({ host, port, noDelay: true, ...(isTls ? {} : { onread }) });
    this.#writer = new ProtocolWriter(this.#socket);
    this.#watch(this.#socket);
    if (isTls) this.#socket.on('data', (bytes: Buffer) => this.#copyIn(bytes));
  }

  /**
   * @throws Error when there is no connection: the broker's own words when it refuses, `signal.reason` when that was aborted. No socket is left behind
   */
  static async connect(options: NatsClientOptions): Promise<NatsClient> {
    const plain = new NatsClient(options, false);
    if ((await plain.#open()) === 'open') return plain;
    await plain.close();
    const encrypted = new NatsClient(options, true);
    await encrypted.#open();
    return encrypted;
  }

  get info(): BrokerInfo {
    return this.#info;
  }

  get address(): BrokerAddress {
    return this.#options.address;
  }

  /** What the broker has not taken yet. */
  get backlogBytes(): number {
    return this.#writer.backlogBytes;
  }

  /**
   * Sends one message, of all parts behind one another, each but the first without its first `skipBytes`: with what else is sent in this turn, at the
   * latest when the microtasks that are queued now have run.
   *
   * @returns whether the memory of the parts may be used for something else now; otherwise when the broker has taken it
   * @throws RangeError when it, or its subject, is larger than the broker allows: that would end the connection
   */
  publish(subject: string, reply: string | undefined, parts: readonly Part[], skipBytes = 0, headers?: MsgHdrs): boolean {
    if (this.#isClosed) throw new Error('the connection is closed');
    let bytes = skipBytes - parts.length * skipBytes;
    for (const part of parts) bytes += part.byteLength;
    const head = headers === undefined ? undefined : encodeHeaders(headers);
    const maxBytes = this.#info.max_payload ?? Number.POSITIVE_INFINITY;
    if (bytes + (head?.byteLength ?? 0) > maxBytes)
      throw new RangeError(`${bytes} bytes are more than the ${maxBytes} that the broker allows`);
    const to = reply ? `${subject} ${reply}` : subject;
    if (to.length * UTF8_BYTES_MAX > SUBJECTS_BYTES_MAX && Buffer.byteLength(to) > SUBJECTS_BYTES_MAX)
      throw new RangeError(`a subject and where to answer may have ${SUBJECTS_BYTES_MAX} bytes together`);
    if (head === undefined) return this.#writer.message(`PUB ${to} ${bytes}`, parts, bytes, skipBytes);
    const all = [Part.of(head), ...parts.map((part, i) => (i === 0 ? part : new Part(part.memory, part.start + skipBytes, part.end)))];
    return this.#writer.message(`HPUB ${to} ${head.byteLength} ${head.byteLength + bytes}`, all, head.byteLength + bytes, 0);
  }

  /** @param onMessage must not throw */
  subscribe(subject: string, queue: string | undefined, onMessage: (message: Message) => void): ClientSubscription {
    const id = ++this.#lastSubscription;
    const subscription = new ClientSubscription(this, id, onMessage);
    this.#subscriptions.set(id, subscription);
    if (!this.#isClosed) this.#writer.line(queue === undefined ? `SUB ${subject} ${id}` : `SUB ${subject} ${queue} ${id}`);
    return subscription;
  }

  /** Resolves when the broker has seen all that was sent until now, or with the end of the connection. Never rejects. */
  flush(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#pongs.push(resolve);
      this.#writer.line('PING');
      this.#writer.push();
    });
  }

  /** Ends it. What was sent before and the system has not taken is lost. Never rejects; safe to repeat. */
  async close(): Promise<void> {
    this.#end(undefined);
    await this.closed;
  }

  /** @internal */
  unsubscribe(id: number): void {
    if (!this.#isClosed) this.#writer.line(`UNSUB ${id}`);
  }

  /** @internal */
  forget(id: number): void {
    this.#subscriptions.delete(id);
  }

  onMessage(subscription: number, message: Message): void {
    this.#subscriptions.get(subscription)?.onMessage(message);
  }

  onPing(): void {
    if (this.#writer.isTaken) this.#pingsUnread = 0;
    // The answers to more would be memory of ours that the other side fills.
    if (++this.#pingsUnread > PINGS_UNREAD_MAX)
      return this.#end(new Error('the broker asks without end whether we are there, and reads no answer'));
    this.#writer.line('PONG');
  }

  onPong(): void {
    this.#pongs.shift()?.();
  }

  onError(text: string): void {
    if (this.#opening) return this.#end(new Error(explainRefusal(text, this.#info, this.#options.address)));
    // It closes the connection itself where that is what it means.
    this.#why = /^permissions violation/i.test(text) ? this.#why : new Error(text);
    this.onRefusal(text);
  }

  onInfo(json: string): void {
    const info = parseInfo(json);
    this.#info = { ...this.#info, ...info };
    if (info.ldm) this.onLameDuck();
    if (!this.#opening || this.#pongs.length > 0) return;
    if (this.#info.headers !== true) return this.#end(new Error(HEADERLESS));
    const { tls_required: required, tls_available: available } = this.#info;
    if (!required && !available) {
      if (this.#options.address.needsTls) this.#end(new Error('the address asks for TLS, which the broker does not have'));
      else this.#greet();
    } else if (this.#isTls) this.#encrypt();
    else this.#opening.resolve('needs TLS');
  }

  async #open(): Promise<'open' | 'needs TLS'> {
    const { signal } = this.#options;
    const giveUp = () => {
      const why = signal.reason instanceof Error ? signal.reason : new Error('given up');
      this.#end(this.#isSilent ? new Error(`${why.message}; ${SILENT}`) : why);
    };
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      return await new Promise((resolve, reject) => {
        this.#opening = { resolve, reject };
        if (signal.aborted) giveUp();
      });
    } finally {
      this.#opening = undefined;
      signal.removeEventListener('abort', giveUp);
    }
  }

  /** It took the connection, and has not greeted. */
  get #isSilent(): boolean {
    return !this.#socket.connecting && this.#socket.bytesRead === 0;
  }

  /** Who we are, and a PING: the answer to that says that we are let in. */
  #greet(): void {
    const { address, name } = this.#options;
    const { user, password } = address;
    const credentials = user === undefined ? {} : password === undefined ? { auth_token: user } : { user, pass: password };
    const about = { lang: 'node', version: '1', protocol: 1, verbose: false, pedantic: false };
    const greeting = { ...about, name, headers: true, no_responders: true, tls_required: this.#isTls, ...credentials };
    this.#writer.line(`CONNECT ${JSON.stringify(greeting)}`);
    void this.flush().then(() => this.#opening?.resolve('open'));
  }

  #encrypt(): void {
    // Whoever stands between may say it twice.
    if (this.#stream !== this.#socket) return;
    // It would be taken for what the broker says once nobody else can say anything, and did not come from it, which waits for our handshake.
    if (this.#reader.unreadBytes > 0)
      return this.#end(new Error('bytes came between the greeting of the broker and TLS: somebody on the way has added them'));
    const { address, tls } = this.#options;
    const { host } = address;
    this.#socket.removeAllListeners('data');
    this.#stream = connectTls({ ...tls, socket: this.#socket, ...(isIP(host) ? { host } : { servername: host }) }, () => this.#greet());
    this.#writer = new ProtocolWriter(this.#stream, true);
    this.#stream.on('data', (bytes: Buffer) => this.#copyIn(bytes));
    this.#watch(this.#stream);
  }

  #watch(socket: Socket): void {
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#why ??= error.code === 'ECONNREFUSED' ? new Error('connection refused', { cause: error }) : error;
    });
    socket.on('end', () => this.#end(this.#why));
    socket.on('close', () => this.#end(this.#why));
  }

  #copyIn(bytes: Buffer): void {
    for (let at = 0; at < bytes.byteLength && !this.#isClosed;) {
      const copied = bytes.copy(this.#reader.space, 0, at);
      at += copied;
      this.#take(copied);
    }
  }

  #take(bytes: number): boolean {
    try {
      this.#reader.take(bytes);
    } catch (error) {
      this.#end(error as Error);
    }
    return !this.#isClosed;
  }

  #end(why: Error | undefined): void {
    if (this.#isClosed) return;
    // What the system takes at once still goes.
    this.#writer.push();
    this.#isClosed = true;
    const wasSilent = this.#isSilent;
    this.#reader.end();
    this.#stream.destroy();
    this.#socket.destroy();
    this.#opening?.reject(why ?? new Error(wasSilent ? SILENT : 'the broker closed the connection'));
    this.#subscriptions.clear();
    // In this order: whoever waits for an echo must find that the connection has ended.
    this.#close(why);
    for (const resolve of this.#pongs.splice(0)) resolve();
  }
}

function encodeHeaders(headers: MsgHdrs): Uint8Array {
  return (headers as MsgHdrs & { encode(): Uint8Array }).encode();
}

/** A broker asks once in some minutes. */
const PINGS_UNREAD_MAX = 1_000;
const UTF8_BYTES_MAX = 3;
/** Of all names on one line: a broker ends the connection at one of more than 4,096 bytes (`max_control_line`), and numbers follow. */
export const SUBJECTS_BYTES_MAX = 4_080;
