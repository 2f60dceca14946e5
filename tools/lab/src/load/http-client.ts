import { connect, type Socket } from 'node:net';
import type { Operation, Outcome } from './operations.js';

/**
 * The HTTP/1.1 client of the generator: one request at a time on each of a bounded number of kept connections, and next to no garbage.
 * (With undici at 10,000 requests/s the collector stopped the generator for 30 to 50 ms at a time; lateness p99 was 20 ms instead of
 * 2.) It reads what servers send with `Content-Length` or chunked; anything else is a `reset`.
 */
export class HttpClient {
  readonly #host: string;
  readonly #port: number;
  readonly #connectionsMax: number;
  /** Last in, first out: few connections stay warm rather than all of them lukewarm. */
  readonly #free: Connection[] = [];
  readonly #all = new Set<Connection>();

  constructor(baseUrl: string, connectionsMax: number) {
    const { hostname, port } = new URL(baseUrl);
    this.#host = hostname;
    this.#port = Number(port);
    this.#connectionsMax = connectionsMax;
  }

  /** Opens connections before they are needed, so that a run does not begin with a storm of them. */
  async open(connections: number): Promise<void> {
    const opening = Array.from({ length: Math.min(connections, this.#connectionsMax) }, () => this.#connect().opened);
    await Promise.all(opening);
  }

  /**
   * Sends a request; `end` is called exactly once, never from within.
   *
   * @returns what ends it early, or undefined when every connection is taken: nothing is sent then
   */
  send(operation: Operation, end: (outcome: Outcome, status: number) => void): { expire: () => void } | undefined {
    const connection = this.#free.pop() ?? (this.#all.size < this.#connectionsMax ? this.#connect() : undefined);
    connection?.send(operation, end);
    return connection;
  }

  close(): void {
    for (const connection of this.#all) connection.destroy();
  }

  #connect(): Connection {
    const connection: Connection = new Connection(this.#host, this.#port, {
      onFree: () => this.#free.push(connection),
      onClosed: () => {
        this.#all.delete(connection);
        const at = this.#free.indexOf(connection);
        if (at >= 0) this.#free.splice(at, 1);
      },
    });
    this.#all.add(connection);
    return connection;
  }
}

interface Owner {
  readonly onFree: () => void;
  readonly onClosed: () => void;
}

const READ_BYTES = 65_536;
/** More than a key and its first chunk's size have. */
const START_CHARS_MAX = 4_096;
/** In a problem document (docs/reference/http.md): the operation did not happen and will not happen. */
const DEFINITE = /"definite": ?true\b/;
const CHUNKED_END = '\r\n0\r\n\r\n';

/** A connection, and the answer that is being read from it. */
class Connection {
  readonly opened: Promise<void>;
  readonly #socket: Socket;
  readonly #hostHeader: string;
  readonly #owner: Owner;
  #operation: Operation | undefined;
  #end: ((outcome: Outcome, status: number) => void) | undefined;
  /** The head, as far as it has come; empty once it is complete. */
  #head = '';
  #status = 0;
  /** How the body begins. */
  #start = '';
  /** Of the body, still to come; -1: chunked; undefined: the head is not complete. */
  #bodyLeft: number | undefined;
  /** The end of what came of a chunked body. */
  #tail = '';

  constructor(host: string, port: number, owner: Owner) {
    this.#owner = owner;
    this.#hostHeader = `Host: ${host}:${port}\r\n`;
    // One buffer for all reads of this socket: what is needed of it is taken out before the next.
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    this.#socket = connect({
      host,
      port,
      noDelay: true,
      onread: { buffer, callback: (bytes) => this.#read(buffer.toString('latin1', 0, bytes)) },
    });
    this.opened = new Promise((resolve) => {
      this.#socket.once('connect', () => (this.#operation === undefined && owner.onFree(), resolve()));
      this.#socket.once('close', () => {
        owner.onClosed();
        this.#finish('reset');
        resolve();
      });
    });
    this.#socket.on('error', () => undefined);
  }

  send(operation: Operation, end: (outcome: Outcome, status: number) => void): void {
    this.#operation = operation;
    this.#end = end;
    this.#status = 0;
    this.#bodyLeft = undefined;
    this.#tail = '';
    this.#start = '';
    const { method, path, body } = operation;
    const head = `${method} ${path} HTTP/1.1\r\n${this.#hostHeader}`;
    this.#socket.write(
      body === undefined ? `${head}\r\n` : `${head}Content-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }

  /** The caller waits no longer. The connection is of no further use: an answer may still come. */
  expire(): void {
    this.#finish('timeout');
    this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(text: string): boolean {
    // Bytes that no request asked for: the server has lost its place.
    if (this.#operation === undefined) this.destroy();
    else if (this.#bodyLeft === undefined) this.#readHead(text);
    else this.#readBody(text);
    return true;
  }

  #readHead(text: string): void {
    this.#head += text;
    const end = this.#head.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = this.#head.slice(0, end + 2);
    const rest = this.#head.slice(end + 4);
    this.#head = '';
    this.#status = Number(head.slice(9, 12));
    if (this.#status < 200) return rest === '' ? undefined : this.#readHead(rest);
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
    if (this.#status === 204 || this.#status === 304) this.#bodyLeft = 0;
    else if (length !== undefined) this.#bodyLeft = Number(length);
    else if (/\r\ntransfer-encoding: *chunked\r\n/i.test(head)) this.#bodyLeft = -1;
    else return this.destroy();
    if (this.#bodyLeft === 0) this.#complete();
    else if (rest !== '') this.#readBody(rest);
  }

  #readBody(text: string): void {
    if (this.#start.length < START_CHARS_MAX) this.#start += text;
    if (this.#bodyLeft !== -1) {
      this.#bodyLeft! -= text.length;
      if (this.#bodyLeft! <= 0) this.#complete();
      return;
    }
    this.#tail = (this.#tail + text).slice(-CHUNKED_END.length);
    if (this.#tail === CHUNKED_END) this.#complete();
  }

  /** A chunked body begins behind the size of its first chunk. */
  #beginsRight(prefix: string): boolean {
    return this.#start.startsWith(prefix, this.#bodyLeft === -1 ? this.#start.indexOf('\r\n') + 2 : 0);
  }

  #complete(): void {
    const { statuses, bodyPrefix } = this.#operation!;
    const right = bodyPrefix === undefined || this.#beginsRight(bodyPrefix);
    const outcome = !statuses.includes(this.#status)
      ? DEFINITE.test(this.#start)
        ? 'refused'
        : 'wrong-status'
      : right
        ? 'good'
        : 'wrong-answer';
    // Free before its caller hears of it, who may want to send at once.
    this.#operation = undefined;
    this.#owner.onFree();
    this.#finish(outcome);
  }

  #finish(outcome: Outcome): void {
    const [end, status] = [this.#end, this.#status];
    this.#end = undefined;
    end?.(outcome, status);
  }
}
