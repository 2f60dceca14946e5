import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { answerOf, type Answer } from './http-client.js';

/**
 * HTTP by hand, for requests no client library would send: bodies that never end, lengths that lie, bytes that are no
 * header. One connection; answers are read one after the other.
 */
export class RawConnection implements Disposable {
  readonly #socket: Socket;
  #buffer = Buffer.alloc(0);
  #ended = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
    });
    const end = () => (this.#ended = true);
    socket.on('end', end);
    socket.on('close', end);
    // A server that refuses a body may reset the connection while we still send; the answer read before counts.
    socket.on('error', end);
  }

  static async open(origin: string): Promise<RawConnection> {
    const { hostname, port } = new URL(origin);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** False once the other side is gone. Waits while the socket is full. */
  async write(bytes: string | Uint8Array): Promise<boolean> {
    if (this.#ended || this.#socket.destroyed) return false;
    if (!this.#socket.write(bytes)) {
      const gone = new AbortController();
      await Promise.race([
        once(this.#socket, 'drain', { signal: gone.signal }),
        once(this.#socket, 'close', { signal: gone.signal }),
        once(this.#socket, 'data', { signal: gone.signal }),
      ]).catch(() => undefined);
      gone.abort();
    }
    return !this.#ended;
  }

  /**
   * The next final answer; interim ones (1xx) are skipped.
   *
   * @param options.bodyless the request was a HEAD
   * @throws Error when the connection ends or the time is up before the answer is whole
   */
  async answer(options: { timeoutMs?: number; bodyless?: boolean } = {}): Promise<Answer> {
    const endMs = performance.now() + (options.timeoutMs ?? 10_000);
    for (;;) {
      const answer = await this.#next(endMs, options.bodyless ?? false);
      if (answer.status >= 200) return answer;
    }
  }

  /**
   * The next answer, be it an interim one (1xx).
   *
   * @throws Error as `answer` does
   */
  async interim(timeoutMs = 10_000): Promise<Answer> {
    return await this.#next(performance.now() + timeoutMs, false);
  }

  async #next(endMs: number, bodyless: boolean): Promise<Answer> {
    for (;;) {
      const parsed = parseAnswer(this.#buffer, this.#ended, bodyless);
      if (parsed) {
        this.#buffer = this.#buffer.subarray(parsed.bytesRead);
        return parsed.answer;
      }
      if (this.#ended)
        throw new Error(`the connection ended before a whole answer; read ${JSON.stringify(this.#buffer.toString('latin1'))}`);
      await this.#changed(endMs - performance.now());
    }
  }

  /** Resolves when the other side has closed. */
  async closed(timeoutMs: number): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    while (!this.#ended) await this.#changed(endMs - performance.now());
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #changed(timeoutMs: number): Promise<void> {
    if (timeoutMs <= 0) throw new Error('the time is up and the answer is not whole');
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), timeoutMs);
    await Promise.race(['data', 'end', 'close'].map((event) => once(this.#socket, event, { signal: over.signal }))).catch(() => undefined);
    clearTimeout(timer);
    over.abort();
  }
}

/** One request, written as given, and its answer. */
export async function exchange(origin: string, request: string | Uint8Array, options: { timeoutMs?: number } = {}): Promise<Answer> {
  using connection = await RawConnection.open(origin);
  await connection.write(request);
  return await connection.answer(options);
}

function parseAnswer(buffer: Buffer, ended: boolean, bodyless: boolean): { answer: Answer; bytesRead: number } | undefined {
  const headEnd = buffer.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const [statusLine = '', ...lines] = buffer.subarray(0, headEnd).toString('latin1').split('\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1] ?? NaN);
  if (Number.isNaN(status)) throw new Error(`not an HTTP answer: ${JSON.stringify(statusLine)}`);
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const rest = buffer.subarray(headEnd + 4);
  const body =
    bodyless || status < 200 || status === 204 || status === 304 ? { bytes: Buffer.alloc(0), bytesRead: 0 } : bodyOf(headers, rest, ended);
  return body && { answer: answerOf(status, headers, body.bytes), bytesRead: headEnd + 4 + body.bytesRead };
}

function bodyOf(headers: Record<string, string>, rest: Buffer, ended: boolean): { bytes: Buffer; bytesRead: number } | undefined {
  if (headers['transfer-encoding'] === 'chunked') return chunkedBodyOf(rest);
  if (headers['content-length'] === undefined) return ended ? { bytes: Buffer.from(rest), bytesRead: rest.length } : undefined;
  const length = Number(headers['content-length']);
  return rest.length < length ? undefined : { bytes: Buffer.from(rest.subarray(0, length)), bytesRead: length };
}

function chunkedBodyOf(rest: Buffer): { bytes: Buffer; bytesRead: number } | undefined {
  const chunks: Buffer[] = [];
  for (let at = 0; ;) {
    const lineEnd = rest.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = parseInt(rest.subarray(at, lineEnd).toString('latin1'), 16);
    const next = lineEnd + 2 + size + 2;
    if (rest.length < next) return undefined;
    if (size === 0) return { bytes: Buffer.concat(chunks), bytesRead: next };
    chunks.push(rest.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = next;
  }
}
