import type { Msg } from '@nats-io/transport-node';
import type { Connection } from './connection.js';
import type { Exchange } from './served-call.js';

/** How a port is reached over NATS when that does not follow from its name. For adapters to other conventions, such as Nest's patterns. */
export interface PortWire {
  subjectOf(method: string): string;
  /** Who shares what is sent to a method; undefined: each server gets each. */
  queueOf(method: string): string | undefined;
  /** Messages that nobody waits for are given to the methods too. This is how long the work on one may take. */
  readonly eventTimeoutMs: number;
  /** Reads a message that is no frame. Must not throw. */
  readonly plainCall: (message: Msg, connection: Connection, what: string, bytesMax: number) => PlainCall;
}

/** A message of a client that does not speak in frames. */
export interface PlainCall {
  readonly exchange: Exchange;
  readonly timeoutMs: number;
  readonly traceparent: string | undefined;
  /** @throws INVALID_REQUEST */
  accept(): unknown;
}
