import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { systemClock, type Clock } from '@diptych/kernel';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { Value } from 'typebox/value';
import { Connection, type Address } from './connection.js';
import { Faults, newTally, type Direction, type FaultPoint, type Tally } from './faults.js';
import { resetSocket } from './reset.js';

export interface FaultProxyOptions {
  /** Connected to anew for each client, its name looked up each time. */
  readonly upstream: Address;
  /** Default: a free port of the loopback interface. It stays the same as long as the proxy lives. */
  readonly listen?: Partial<Address>;
  readonly faults?: Faults;
  /** Bytes held for each direction of each connection, at most, and one read of a socket besides. Default 262,144. */
  readonly heldBytesMax?: number;
  /** One more is reset. Default 1,024. */
  readonly connectionsMax?: number;
  /** Of the jitter. Default 1. */
  readonly seed?: number;
  readonly clock?: Clock;
}

/** A TCP proxy whose wires can be made faulty. `faults.ts` says how. End it with `close` or `await using`. */
export class FaultProxy implements FaultPoint, AsyncDisposable {
  readonly upstream: Address;
  readonly #options: FaultProxyOptions;
  readonly #random: () => number;
  readonly #connections = new Set<Connection>();
  #address: Address;
  #server: Server | undefined;
  #faults: Faults;
  #tally = newTally();
  /** Changes happen one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(options: FaultProxyOptions) {
    this.upstream = options.upstream;
    this.#options = options;
    const generator = xoroshiro128plus(options.seed ?? 1);
    this.#random = () => (generator.next() >>> 0) / 2 ** 32;
    this.#faults = allowed(options.faults ?? {});
    this.#address = { host: options.listen?.host ?? '127.0.0.1', port: options.listen?.port ?? 0 };
  }

  /** @throws Error when the address to listen on cannot be had, or a fault is not allowed */
  static async listen(options: FaultProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options);
    await proxy.#open();
    if (proxy.#faults.connect === 'refuse') proxy.#unlisten();
    return proxy;
  }

  /** Where clients connect to. */
  get address(): Address {
    return this.#address;
  }

  get port(): number {
    return this.#address.port;
  }

  get faults(): Faults {
    return this.#faults;
  }

  async setFaults(faults: Faults): Promise<void> {
    const next = allowed(faults);
    await this.#inTurn(async () => {
      if (next.connect === 'refuse') this.#unlisten();
      else if (!this.#server) await this.#open();
      this.#faults = next;
      this.#tally = newTally();
      for (const connection of this.#connections) connection.setFaults(next);
    });
  }

  async reset(): Promise<number> {
    const open = [...this.#connections];
    for (const connection of open) connection.reset();
    this.#tally.reset += open.length;
    return open.length;
  }

  async tally(): Promise<Tally> {
    const held = (direction: Direction) => ({
      ...this.#tally[direction],
      heldBytes: [...this.#connections].reduce((sum, connection) => sum + connection.heldBytes(direction), 0),
    });
    return { ...this.#tally, open: this.#connections.size, toUpstream: held('toUpstream'), toClient: held('toClient') };
  }

  /** Ends every connection and stops listening. Safe to repeat. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#turn.catch(() => undefined);
    this.#unlisten();
    const open = [...this.#connections];
    for (const connection of open) connection.reset();
    await Promise.all(open.map(({ closed }) => closed));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #inTurn(change: () => Promise<void>): Promise<void> {
    const mine = this.#turn
      .catch(() => undefined)
      .then(async () => {
        if (this.#closed) throw new Error('the fault proxy is closed');
        await change();
      });
    this.#turn = mine;
    await mine;
  }

  async #open(): Promise<void> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => this.#accept(client));
    server.listen(this.#address);
    await once(server, 'listening');
    server.on('error', () => undefined); // of single connections that the kernel could not hand over
    this.#server = server;
    this.#address = { ...this.#address, port: (server.address() as AddressInfo).port };
  }

  /** Connections that are there stay. */
  #unlisten(): void {
    this.#server?.close();
    this.#server = undefined;
  }

  #accept(client: Socket): void {
    if (this.#closed || this.#faults.connect === 'reset' || this.#connections.size >= (this.#options.connectionsMax ?? 1024)) {
      this.#tally.turnedAway++;
      client.on('error', () => undefined);
      resetSocket(client);
      return;
    }
    this.#tally.accepted++;
    const oneWay = (direction: Direction) => ({
      clock: this.#options.clock ?? systemClock,
      random: this.#random,
      heldBytesMax: this.#options.heldBytesMax ?? 262_144,
      tally: () => this.#tally[direction],
    });
    const connection = new Connection(client, {
      upstream: this.upstream,
      faults: this.#faults,
      oneWay: { toUpstream: oneWay('toUpstream'), toClient: oneWay('toClient') },
      onCut: () => void this.#tally.cut++,
      onUnreachable: () => void this.#tally.unreachable++,
    });
    this.#connections.add(connection);
    void connection.closed.then(() => this.#connections.delete(connection));
  }
}

function allowed(faults: unknown): Faults {
  if (Value.Check(Faults, faults)) return faults;
  const [problem] = Value.Errors(Faults, faults);
  throw new TypeError(`not a fault that there is: ${problem?.instancePath ?? ''} ${problem?.message ?? ''}`);
}
