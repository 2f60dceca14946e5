import type { Socket } from 'node:net';
import { DiptychError } from '@diptych/kernel';

/**
 * What requests of one connection share. A client may send the next request before the last is answered; Node hands all of them on at
 * once. Reads may then run side by side, but a write runs alone, so that what is sent after it sees it (RFC 9112, section 9.3.2).
 */
export class Connection {
  /** Aborted when the connection ends. One per connection: a request has no way of its own to go away, and a connection serves thousands. */
  readonly signal: AbortSignal;
  readonly #waiting: Array<{ readonly alone: boolean; readonly start: () => void }> = [];
  #running = 0;
  #runsAlone = false;
  #starting = false;

  private constructor(socket: Socket) {
    const controller = new AbortController();
    this.signal = controller.signal;
    const abort = () => controller.abort(new DiptychError('CANCELLED', 'the client went away'));
    if (socket.destroyed) abort();
    else socket.once('close', abort);
  }

  static of(socket: Socket): Connection {
    let connection = CONNECTIONS.get(socket);
    if (!connection) CONNECTIONS.set(socket, (connection = new Connection(socket)));
    return connection;
  }

  /** False when the request has to wait for its turn; then `whenFree` gives it one. Each turn ends with `leave`. */
  tryEnter(alone: boolean): boolean {
    if (this.#running > 0 && (alone || this.#runsAlone || this.#waiting.length > 0)) return false;
    this.#enter(alone);
    return true;
  }

  /** How many can wait is bounded by the requests that may be in flight: whoever waits here is counted there. */
  whenFree(alone: boolean, start: () => void): void {
    this.#waiting.push({ alone, start });
  }

  leave(): void {
    this.#running--;
    if (this.#starting) return;
    // One that fails at once leaves within this loop, which then goes on; it must not begin another.
    this.#starting = true;
    for (let next = this.#waiting[0]; next && (this.#running === 0 || !(next.alone || this.#runsAlone)); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#enter(next.alone);
      next.start();
    }
    this.#starting = false;
  }

  #enter(alone: boolean): void {
    this.#running++;
    this.#runsAlone = alone;
  }
}

const CONNECTIONS = new WeakMap<Socket, Connection>();
