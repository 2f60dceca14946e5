import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { Server as NetServer, type AddressInfo, type Socket } from 'node:net';
import { DiptychError, systemClock } from '@diptych/kernel';
import { answerClientError, answerConnect } from './http-client-error.js';
import { KEEP_ALIVE_MS } from './http-edge.js';
import { PROBLEM_CONTENT_TYPE, problem } from './problem.js';

/**
 * The socket side of HTTP: it owns the port from before anything else starts, so that a port in use is found while no file
 * has been touched, until the last request of a stop has been answered.
 *
 * Until `serve` it answers `/health/live` with 200 and all else with 503.
 */
export class HttpListener {
  readonly server: Server;
  /** With what each had sent when it was last looked at, and how many looks that was. Looks, not time: a loop that stood still has not read them either. */
  readonly #sockets = new Map<Socket, { bytes: number; looks: number }>();
  /** The newest response on each connection: what a stop has to wait for, and can name if that takes too long. */
  readonly #responses = new Map<Socket, ServerResponse>();
  #handler: RequestListener = answerWhileStarting;
  readonly #reusePort: boolean;
  readonly #keepAliveMs: number;
  #draining = false;
  #idleEnds = false;

  /**
   * @param options.reusePort several listeners of this process share the port; see that nobody else has it (`claimPort`)
   * @param options.keepAliveMs how long a connection may be unused, at least. Default `KEEP_ALIVE_MS`
   */
  constructor(options: { requestTimeoutMs: number; reusePort?: boolean; keepAliveMs?: number }) {
    this.#reusePort = options.reusePort ?? false;
    this.#keepAliveMs = options.keepAliveMs ?? KEEP_ALIVE_MS;
    this.server = createServer(
      {
        requestTimeout: options.requestTimeoutMs,
        headersTimeout: Math.min(options.requestTimeoutMs, 60_000) || undefined,
        // Its timers, two a request, cost more than the gateway's own work on one: `#endUnused` looks at all connections now and then.
        keepAliveTimeout: 0,
        // How exact the two above are; Node's own default would let a slow sender have 30 s more.
        connectionsCheckingInterval: 1_000,
        noDelay: true,
        // A request without a body has a stream that has ended already, and says nothing of it: whoever reads bodies looks at the head first.
        optimizeEmptyRequests: true,
        // Refused below: Node's own refusal has no document.
        requireHostHeader: false,
      },
      (request, response) => this.#take(request, response),
    );
    this.server.on('clientError', answerClientError);
    this.server.on('connect', answerConnect);
    this.server.on('connection', (socket) => {
      this.#sockets.set(socket, { bytes: 0, looks: 0 });
      socket.once('close', () => {
        this.#sockets.delete(socket);
        this.#responses.delete(socket);
      });
    });
  }

  /**
   * Takes the port. 0 takes a free one.
   *
   * @throws UNAVAILABLE with one sentence when it cannot be had
   */
  async listen(host: string, port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const refused = (error: NodeJS.ErrnoException) => reject(listenError(error, host, port));
      this.server.once('error', refused);
      // `exclusive`, because a worker of node:cluster would otherwise share the port in silence.
      this.server.listen({ host, port, exclusive: true, reusePort: this.#reusePort }, () => {
        this.server.off('error', refused);
        resolve();
      });
    });
    const lookMs = Math.min(LOOK_MS_MAX, this.#keepAliveMs / 4);
    const looksMax = 1 + Math.ceil(this.#keepAliveMs / lookMs);
    const looking = systemClock.every(lookMs, () => this.#endUnused(looksMax), { unref: true });
    this.server.once('close', () => looking[Symbol.dispose]());
  }

  get url(): string {
    const { address, family, port } = this.server.address() as AddressInfo;
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }

  serve(handler: RequestListener): void {
    this.#handler = handler;
  }

  /**
   * Takes no more connections, answers every request that has been taken, tells each client that its connection ends, and
   * resolves when the last one has. Safe to repeat.
   *
   * @throws DEADLINE_EXCEEDED naming the requests that were not answered within `graceMs`; their connections are cut
   */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    if (!this.server.listening && this.#sockets.size === 0) return;
    // Not http.Server's own close: it cuts idle connections at once, and with them the request that is on its way over one.
    const closed = new Promise<void>((resolve) => NetServer.prototype.close.call(this.server, () => resolve()));
    for (const response of this.#responses.values()) if (!response.closed) this.#letGo(response);
    using _idle = systemClock.after(Math.min(IDLE_GRACE_MS, graceMs), () => this.#endIdle());
    let timer: Disposable | undefined;
    const late = new Promise<'late'>((resolve) => (timer = systemClock.after(graceMs, () => resolve('late'))));
    const ended = await Promise.race([closed, late]);
    timer?.[Symbol.dispose]();
    if (ended !== 'late') return;
    const unanswered = [...this.#responses.values()].filter((response) => !response.closed).map(({ req }) => `${req.method} ${req.url}`);
    this.cut();
    await closed;
    if (unanswered.length > 0) throw new DiptychError('DEADLINE_EXCEEDED', unansweredMessage(unanswered, graceMs));
  }

  /** Ends everything at once. */
  cut(): void {
    this.server.close();
    for (const socket of this.#sockets.keys()) socket.destroy();
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    this.#responses.set(request.socket, response);
    if (this.#draining) this.#letGo(response);
    const { host, 'transfer-encoding': coding } = request.headers;
    if (host === undefined && request.httpVersion === '1.1')
      return refuse(request, response, 400, 'a request of HTTP/1.1 must have a Host header');
    // Node takes off the chunks and nothing else: the body would be the coded bytes.
    if (coding !== undefined && coding.toLowerCase() !== 'chunked')
      return refuse(request, response, 501, 'Transfer-Encoding can only be chunked');
    this.#handler(request, response);
  }

  /** The connection ends with this response, or soon after when its head has left already without saying so. */
  #letGo(response: ServerResponse): void {
    if (!response.headersSent) response.setHeader('connection', 'close');
    else response.once('close', () => this.#idleEnds && this.server.closeIdleConnections());
  }

  /** Ends the connections that nobody has used in the meantime, and from now on each as soon as it falls idle. */
  #endIdle(): void {
    this.#idleEnds = true;
    this.server.closeIdleConnections();
    // Connected, but never sent a byte: to Node these are not idle.
    for (const socket of this.#sockets.keys()) if (socket.bytesRead === 0) socket.destroy();
  }

  /** Ends connections over which nothing has come for so many looks, unless an answer is owed. */
  #endUnused(looksMax: number): void {
    for (const [socket, last] of this.#sockets) {
      const { bytesRead } = socket;
      if (bytesRead !== last.bytes || this.#responses.get(socket)?.closed === false) {
        last.bytes = bytesRead;
        last.looks = 0;
      } else if (++last.looks >= looksMax) socket.destroy();
    }
  }
}

/**
 * How long a stop lets kept-alive connections be. A client that is using one sends its next request well within that, and learns from
 * the answer that the connection ends; one that is cut just then would not know whether its request was done.
 */
const IDLE_GRACE_MS = 250;

/** Between two looks at which connections are unused. */
const LOOK_MS_MAX = 5_000;

function answerWhileStarting(request: IncomingMessage, response: ServerResponse): void {
  request.resume();
  if (request.url === '/health/live') {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"ok":true}');
    return;
  }
  const body = JSON.stringify(problem(503, 'UNAVAILABLE', 'this process is starting'));
  response.writeHead(503, { 'content-type': PROBLEM_CONTENT_TYPE, 'retry-after': '1' }).end(body);
}

/** What RFC 9112 wants refused, whatever the path: no Host (section 3.2), a transfer coding not known here (section 6.1). */
function refuse(request: IncomingMessage, response: ServerResponse, status: 400 | 501, detail: string): void {
  request.resume();
  const body = JSON.stringify(problem(status, 'INVALID_REQUEST', detail));
  const headers = { 'content-type': PROBLEM_CONTENT_TYPE, 'content-length': Buffer.byteLength(body), connection: 'close' };
  response.writeHead(status, headers).end(body);
}

export function listenError(error: NodeJS.ErrnoException, host: string, port: number): DiptychError {
  const where = `port ${port} on ${host}`;
  const reasons: Record<string, string> = {
    EADDRINUSE: `${where} is in use by another process; stop it, or set DIPTYCH_HTTP_PORT to another port (0 takes a free one)`,
    EACCES: `${where} may not be opened by this user; set DIPTYCH_HTTP_PORT to 1024 or more`,
    EADDRNOTAVAIL: `${host} is no address of this machine; set DIPTYCH_HTTP_HOST to one, or to 0.0.0.0 for all`,
    ENOTFOUND: `the name ${host} is not known; set DIPTYCH_HTTP_HOST to an address of this machine`,
  };
  const message = reasons[error.code ?? ''] ?? `${where} cannot be opened: ${error.message}`;
  return new DiptychError('UNAVAILABLE', message, { cause: error });
}

function unansweredMessage(unanswered: readonly string[], graceMs: number): string {
  const named = unanswered.slice(0, 3).join(', ');
  const more = unanswered.length > 3 ? ` and ${unanswered.length - 3} more` : '';
  return `not answered within ${graceMs} ms, so cut off: ${named}${more}`;
}
