import { STATUS_CODES, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ErrorCode } from '@diptych/kernel';
import { PROBLEM_CONTENT_TYPE, problem } from './problem.js';

/**
 * Answers what never became a request, or never became a whole one: bytes that are not HTTP (400), headers over the limit (431), a head or a
 * body that does not arrive in time (408). Ends the connection.
 */
export function answerClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  // The other side is gone, or already has (part of) an answer that this one would corrupt.
  if (error.code === 'ECONNRESET' || !socket.writable || responseBegun(socket)) {
    socket.destroy();
    return;
  }
  writeProblem(socket, ...answerFor(error.code));
}

/** A tunnel is asked for (RFC 9110, section 9.3.6), and Node hands over the bare socket. There is no path, so no method is possible. */
export function answerConnect(_request: IncomingMessage, socket: Duplex): void {
  socket.on('error', () => socket.destroy());
  writeProblem(socket, 405, 'INVALID_REQUEST', 'CONNECT is not possible: this is no proxy', ['allow: ']);
  // What the client still sends is nobody's.
  socket.resume();
}

function writeProblem(socket: Duplex, status: number, code: ErrorCode, detail: string, headers: readonly string[] = []): void {
  const body = JSON.stringify(problem(status, code, detail));
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `content-type: ${PROBLEM_CONTENT_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
    ...headers,
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

function answerFor(errorCode: string | undefined): [status: number, code: ErrorCode, detail: string] {
  switch (errorCode) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [408, 'DEADLINE_EXCEEDED', 'the request did not arrive in time'];
    case 'HPE_HEADER_OVERFLOW':
      return [431, 'TOO_LARGE', 'the request line and headers are over 16 KiB'];
    default:
      return [400, 'INVALID_REQUEST', 'the bytes received are not an HTTP/1.1 request'];
  }
}

/** `_httpMessage` is the response under way; Node's own handler of this event looks at it too, and there is no other way to know. */
function responseBegun(socket: Socket): boolean {
  return (socket as Socket & { _httpMessage?: { headersSent: boolean } | null })._httpMessage?.headersSent === true;
}
