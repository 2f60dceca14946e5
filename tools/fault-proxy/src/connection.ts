import { connect, type Socket } from 'node:net';
import type { Direction, Faults } from './faults.js';
import { OneWay, type OneWayOptions } from './one-way.js';
import { resetSocket } from './reset.js';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface ConnectionOptions {
  readonly upstream: Address;
  readonly faults: Faults;
  readonly oneWay: Record<Direction, Omit<OneWayOptions, 'onCut'>>;
  readonly onCut: () => void;
  readonly onUnreachable: () => void;
}

/** A client's connection and ours upstream, with a wire each way. It owns the two sockets. */
export class Connection {
  readonly #client: Socket;
  readonly #options: ConnectionOptions;
  /** Resolves when both sockets are closed. Never rejects. */
  readonly closed: Promise<void>;
  #isClosed!: () => void;
  #faults: Faults;
  #upstream: Socket | undefined;
  #wires: Record<Direction, OneWay> | undefined;

  constructor(client: Socket, options: ConnectionOptions) {
    this.#client = client;
    this.closed = new Promise((resolve) => (this.#isClosed = resolve));
    this.#options = options;
    this.#faults = options.faults;
    client.setNoDelay(true);
    // What an error means to the other side is the wire's to say, on 'close'.
    client.on('error', () => undefined);
    client.on('close', () => {
      if (!this.#upstream || this.#upstream.closed) this.#isClosed();
    });
    this.#dial();
  }

  heldBytes(direction: Direction): number {
    return this.#wires?.[direction].heldBytes ?? 0;
  }

  setFaults(faults: Faults): void {
    this.#faults = faults;
    if (!this.#wires) this.#dial();
    else for (const direction of ['toUpstream', 'toClient'] as const) this.#wires[direction].setFaults(faults[direction] ?? {});
  }

  reset(): void {
    this.#closeWires();
    resetSocket(this.#client);
    if (this.#upstream) resetSocket(this.#upstream);
  }

  /** A connection that cannot get through is not made; until then the client is not read. */
  #dial(): void {
    if (this.#faults.toUpstream?.blackhole || this.#client.destroyed) return;
    const { upstream: address, onUnreachable } = this.#options;
    const upstream = connect({ ...address, allowHalfOpen: true, noDelay: true });
    this.#upstream = upstream;
    let made = false;
    upstream.once('connect', () => (made = true));
    upstream.on('error', () => {
      if (made) return;
      onUnreachable();
      resetSocket(this.#client);
    });
    upstream.on('close', () => {
      if (this.#client.closed) this.#isClosed();
    });
    this.#wires = {
      toUpstream: this.#wire('toUpstream', this.#client, upstream),
      toClient: this.#wire('toClient', upstream, this.#client),
    };
    this.#wires.toUpstream.start();
    this.#wires.toClient.start();
  }

  #wire(direction: Direction, source: Socket, destination: Socket): OneWay {
    const onCut = () => {
      this.#options.onCut();
      this.#closeWires();
      // It is read on, to nowhere: closing with unread bytes would be a reset, which may overtake what it was given.
      destination.end();
      destination.resume();
      resetSocket(source);
    };
    return new OneWay(source, destination, this.#faults[direction] ?? {}, { ...this.#options.oneWay[direction], onCut });
  }

  #closeWires(): void {
    this.#wires?.toUpstream.close();
    this.#wires?.toClient.close();
  }
}
