import { createServer, connect, type Server, type Socket } from 'node:net';
import { once } from 'node:events';

/** A wire between two processes that a test can hold or cut. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Bytes that have come through, both ways: proof that a wire that is held or cut lets nothing through. */
  readonly passedBytes: number;
  /** Connections there are now. */
  readonly connections: number;
  /** As at the start: everything passes, first what was held. */
  pass(): void;
  /** Nothing passes, either way, and nobody is told: as when a cable is pulled or a firewall drops. New connections are made and held too. */
  hold(): void;
  /** Resets what there is, and everything that comes until `pass`. */
  cut(): void;
}

/** Passes a free port of the loopback interface on to another one. */
export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const proxy = new Proxy(targetPort);
  await proxy.listen();
  return proxy;
}

class Proxy implements TcpProxy {
  readonly #targetPort: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #state: 'pass' | 'hold' | 'cut' = 'pass';
  passedBytes = 0;

  constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer({ noDelay: true }, (socket) => this.#join(socket));
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the proxy does not listen');
    return address.port;
  }

  get connections(): number {
    return this.#sockets.size / 2;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  pass(): void {
    this.#state = 'pass';
    for (const socket of this.#sockets) socket.resume();
  }

  hold(): void {
    this.#state = 'hold';
    for (const socket of this.#sockets) socket.pause();
  }

  cut(): void {
    this.#state = 'cut';
    for (const socket of [...this.#sockets]) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(near: Socket): void {
    if (this.#state === 'cut') return void near.resetAndDestroy();
    const far = connect({ port: this.#targetPort, host: '127.0.0.1', noDelay: true });
    this.#carry(near, far);
    this.#carry(far, near);
  }

  #carry(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on('data', (bytes) => {
      this.passedBytes += bytes.length;
      // A reader that is slower than the writer holds the writer up, as the wire itself would.
      if (!to.write(bytes) && !from.isPaused()) {
        from.pause();
        to.once('drain', () => this.#state === 'pass' && from.resume());
      }
    });
    from.on('error', () => from.destroy());
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
    if (this.#state === 'hold') from.pause();
  }
}
