import type { IncomingMessage, ServerResponse } from 'node:http';
import { deadlines, DiptychError } from '@diptych/kernel';
import { VALUE_BYTES_MAX } from '@diptych/log';
import { Refusal } from './problem.js';

/**
 * Bytes of request bodies held at once, of all requests together. Counted as they arrive, not as they are announced, so that
 * announcing costs nobody else anything.
 */
export class BodyBudget {
  readonly bytesMax: number;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  tryTake(bytes: number): boolean {
    if (this.#bytes + bytes > this.bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }
}

const EMPTY_BODY = Buffer.alloc(0);

/** What the request says about its body before any of it is read. */
export function announcedBytes(request: IncomingMessage): number | 'unknown' {
  if (request.headers['transfer-encoding'] !== undefined) return 'unknown';
  const length = request.headers['content-length'];
  return length === undefined ? 0 : Number(length);
}

/** @throws TOO_LARGE before a byte is read */
export function assertAnnouncedBytes(request: IncomingMessage): void {
  const bytes = announcedBytes(request);
  if (bytes !== 'unknown' && bytes > VALUE_BYTES_MAX) throw tooLarge(`${bytes}`);
}

/**
 * The whole body, in memory of its own. `taken` is told of each byte taken from the budget; the caller gives them back when the
 * request has been answered, also after an error.
 *
 * @throws TOO_LARGE as soon as the body is seen to be over the bound; OVERLOADED when the budget is used up; DEADLINE_EXCEEDED
 *   (408, definite) when the body is not there in time; CANCELLED (definite) when the client goes away
 */
export function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  options: { deadlineMs: number; budget: BodyBudget; taken: (bytes: number) => void; continueExpected: boolean },
): Promise<Buffer> {
  if (announcedBytes(request) === 0) return Promise.resolve(EMPTY_BODY);
  if (options.continueExpected) response.writeContinue();
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const release = () => {
      timer[Symbol.dispose]();
      request.off('data', onData).off('end', onEnd).off('close', onClose);
    };
    const fail = (error: DiptychError) => (release(), reject(error));
    const onData = (chunk: Buffer) => {
      length += chunk.length;
      if (length > VALUE_BYTES_MAX) return fail(tooLarge(`more than ${VALUE_BYTES_MAX}`));
      if (!options.budget.tryTake(chunk.length))
        return fail(new DiptychError('OVERLOADED', `request bodies fill the ${options.budget.bytesMax} bytes there are for them`));
      options.taken(chunk.length);
      chunks.push(chunk);
    };
    // A chunk is a slice of the socket's read buffer: copied, or a small value would keep all of that alive.
    const onEnd = () => (release(), resolve(Buffer.concat(chunks, length)));
    const onClose = () => fail(new DiptychError('CANCELLED', 'the client went away before its request was complete', { definite: true }));
    const timer = deadlines.at(options.deadlineMs, () =>
      fail(
        new Refusal(408, 'DEADLINE_EXCEEDED', 'the request was not complete before its deadline; nothing was done', [], { definite: true }),
      ),
    );
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', ignore);
  });
}

/** Node reports a broken request as an error besides closing it; `close` is what counts here. */
function ignore(): void {}

function tooLarge(bytes: string): DiptychError {
  return new DiptychError('TOO_LARGE', `the value has ${bytes} bytes; at most ${VALUE_BYTES_MAX} are allowed`);
}
