import { DiptychError } from '@diptych/kernel';
import type { Message } from '../nats/client/message.js';
import { headers } from '@nats-io/transport-node';
import { malformedRequest } from '../binding-errors.js';
import { detailsOf } from '../detailed-error.js';
import type { Connection } from '../nats/connection.js';
import { jsonExchange, TIMEOUT_HEADER, toJson, traceparentOf } from '../nats/json.js';
import type { PlainCall } from '../nats/port-wire.js';
import type { Exchange } from '../nats/served-call.js';
import { noExchange } from '../nats/served-call.js';
import type { Envelope } from './envelope.js';

/**
 * Messages of those who do not speak in frames, told apart by what they hold:
 *
 *   {"pattern":…,"data":…,"id":…}   Nest's own NATS client: answered in its packets, so that servers can change before clients do
 *   {"pattern":…,"data":…}          an event of Nest's own NATS client
 *   anything else in JSON, or empty the data itself; answered in JSON, or an event if there is no reply subject
 *
 * Of several values each is one message; to a plain client all but the last bear the header `Diptych-More`.
 */
export function nestPlainCall(
  message: Message,
  connection: Connection,
  what: string,
  bytesMax: number,
  defaultTimeoutMs: number,
): PlainCall {
  const { reply } = message;
  let data: unknown;
  let failure: unknown;
  try {
    data = message.data.byteLength === 0 ? undefined : JSON.parse(decoder.decode(message.data));
  } catch (error) {
    failure = error;
  }
  const packet = asPacket(data);
  const timeoutMs = Number(message.headers?.get(TIMEOUT_HEADER) || defaultTimeoutMs);
  return {
    exchange: !reply
      ? noExchange(`event ${++lastEvent}`)
      : packet?.id === undefined
        ? plainExchange(connection, what, reply, bytesMax)
        : packetExchange(connection, what, reply, bytesMax, packet.id),
    timeoutMs: Number.isFinite(timeoutMs) ? timeoutMs : defaultTimeoutMs,
    traceparent: traceparentOf(message.headers, packet?.metadata?.['traceparent']),
    accept: (): Envelope => {
      if (failure) throw malformedRequest(what, 'it is neither a frame nor JSON', failure);
      return packet ? [packet.data, null, packet.metadata] : [data];
    },
  };
}

let lastEvent = 0;

interface Packet {
  readonly data: unknown;
  readonly id: string | undefined;
  readonly metadata: Record<string, string> | undefined;
}

function asPacket(value: unknown): Packet | undefined {
  if (typeof value !== 'object' || value === null || !('pattern' in value) || !('data' in value)) return undefined;
  const { data, id, metadata } = value as { data: unknown; id?: unknown; metadata?: unknown };
  return {
    data,
    id: typeof id === 'string' ? id : undefined,
    metadata: typeof metadata === 'object' && metadata !== null ? (metadata as Record<string, string>) : undefined,
  };
}

function plainExchange(connection: Connection, what: string, reply: string, bytesMax: number): Exchange {
  const exchange = jsonExchange(connection, what, reply, bytesMax);
  let several = false;
  return {
    ...exchange,
    next: (value) => {
      several = true;
      const more = headers();
      more.set('Diptych-More', 'true');
      return sendJson(connection, what, reply, bytesMax, value, more);
    },
    // The end after several values, when no value came with it, is an empty message.
    answer: (value) => (several && value === undefined ? connection.publish(reply, EMPTY) : exchange.answer(value)),
  };
}

/** What Nest's own client understands. Its errors are whatever the exception filter made. */
function packetExchange(connection: Connection, what: string, reply: string, bytesMax: number, id: string): Exchange {
  return {
    key: reply,
    next: (response) => sendJson(connection, what, reply, bytesMax, { response, id }),
    answer: (response) => void sendJson(connection, what, reply, bytesMax, { response, isDisposed: true, id }),
    fail: (error) => {
      const { code, message } = error;
      const err = detailsOf(error) ?? { status: 'error', code, message };
      connection.publish(reply, toJson({ err, isDisposed: true, id }));
    },
  };
}

function sendJson(
  connection: Connection,
  what: string,
  reply: string,
  bytesMax: number,
  value: unknown,
  fields?: ReturnType<typeof headers>,
): number {
  const json = toJson(value);
  if (json.byteLength > bytesMax)
    throw new DiptychError('INTERNAL', `the reply of ${what} has ${json.byteLength} bytes as JSON; a message may have ${bytesMax}`);
  connection.publish(reply, json, fields ? { headers: fields } : {});
  return json.byteLength;
}

const EMPTY = new Uint8Array(0);
const decoder = new TextDecoder('utf-8', { fatal: true });
