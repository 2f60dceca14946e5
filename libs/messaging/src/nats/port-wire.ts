import type { Message } from './client/message.js';
import type { Connection } from './connection.js';
import type { Handled } from './routing/catalog.js';
import type { Exchange } from './served-call.js';

/** How a port is reached over NATS when that does not follow from its name. For adapters to other conventions, such as Nest's patterns. */
export interface PortWire {
  subjectOf(method: string): string;
  /**
   * Where one instance gets calls of a method: the token of the instance follows. For `*` in place of a method, that of all. Without it instances
   * cannot be told apart, and calls go by queue groups.
   */
  readonly addressOf?: ((method: string) => string) | undefined;
  /** The other way round, of the server: the method that handles what was sent there, by the last token of such an address. */
  readonly methodAt?: (token: string) => string | undefined;
  /** What a server handles, by which callers tell to whom of all servers a call may go. */
  readonly catalog?: () => readonly Handled[];
  /** Who shares what is sent to a method; undefined: each server gets each. */
  queueOf(method: string): string | undefined;
  /** Messages that nobody waits for are given to the methods too. This is how long the work on one may take. */
  readonly eventTimeoutMs: number;
  /** Reads a message that is no frame. Must not throw. */
  readonly plainCall: (message: Message, connection: Connection, what: string, bytesMax: number) => PlainCall;
}

/** A message of a client that does not speak in frames. */
export interface PlainCall {
  readonly exchange: Exchange;
  readonly timeoutMs: number;
  readonly traceparent: string | undefined;
  /** @throws INVALID_REQUEST */
  accept(): unknown;
}
