import type { DiptychError } from '@diptych/kernel';
import { isTraceparent } from '@diptych/kernel';
import type { TSchema } from 'typebox';
import type { MsgHdrs } from '@nats-io/transport-node';
import { headers } from '@nats-io/transport-node';
import { malformedRequest, oversizeJsonReply } from '../binding-errors.js';
import type { Check, ErrorRecord } from '../codec.js';
import { checkOf, errorToRecord } from '../codec.js';
import { isBytes } from '../schema.js';
import type { Connection } from './connection.js';
import type { Exchange } from './served-call.js';

/**
 * What plain NATS clients speak, `nats req` for one: a request is one JSON object, the reply is one JSON value. Binary data is base64
 * in both, which makes it a third larger: of a value, about 780,000 bytes fit into a message. How long the caller waits is the header
 * `Diptych-Timeout-Ms`, else 5 s; `traceparent` is a header too. An error is `{"error":{"code":…,"message":…,"definite":…}}` with the
 * code in the header `Diptych-Error` as well.
 */
export const JSON_TIMEOUT_MS = 5_000;
export const TIMEOUT_HEADER = 'Diptych-Timeout-Ms';
const ERROR_HEADER = 'Diptych-Error';

/**
 * The trace that a plain client says its call belongs to. Anybody may write anything there, and it travels on to whoever is called further down, so what
 * cannot be a `traceparent` is left out; the standard says to begin a trace of one's own then.
 */
export function traceparentOf(fields: MsgHdrs | undefined, otherwise?: unknown): string | undefined {
  const text = fields?.get('traceparent') || otherwise;
  return typeof text === 'string' && isTraceparent(text) ? text : undefined;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/** @throws INVALID_REQUEST when the message is no request of the method */
export function acceptJson(what: string, message: Uint8Array, schema: TSchema, fits: Check): unknown {
  let request: unknown;
  try {
    request = withBytes(JSON.parse(decoder.decode(message)), schema, DEPTH_MAX);
  } catch (error) {
    throw malformedRequest(what, 'it is not JSON', error);
  }
  if (!fits(request)) throw malformedRequest(what, fits.explain(request));
  return request;
}

/** Answers a message in JSON, whatever it was. */
export function jsonExchange(connection: Connection, what: string, reply: string, bytesMax: number): Exchange {
  // Published, not `message.respond`: that would go to the connection the message came by, which may have been replaced since.
  const answer = (value: unknown) => {
    const json = toJson(value);
    if (json.byteLength > bytesMax) throw oversizeJsonReply(what, json.byteLength, bytesMax);
    connection.publish(reply, json);
    return json.byteLength;
  };
  return {
    key: reply,
    answer: (value) => void answer(value),
    next: answer,
    fail: (error) => {
      const fields = headers();
      fields.set(ERROR_HEADER, error.code);
      connection.publish(reply, errorToJson(error, bytesMax), { headers: fields });
    },
  };
}

/** Without its details if they cannot be sent. */
function errorToJson(error: DiptychError, bytesMax: number): Uint8Array {
  const { details, ...bare } = errorToRecord(error);
  if (details !== undefined) {
    try {
      const json = toJson({ error: { ...bare, details } });
      if (json.byteLength <= bytesMax) return json;
    } catch {
      // As in a frame, the error itself is worth more.
    }
  }
  return toJson({ error: bare });
}

/** JSON with base64 for bytes. */
export function toJson(value: unknown): Uint8Array {
  return encoder.encode(
    JSON.stringify(value, (_, field: unknown) => (field instanceof Uint8Array ? Buffer.from(field).toString('base64') : field)) ?? 'null',
  );
}

/** The error record in a JSON reply; undefined when there is none. Never throws. */
export function jsonErrorOf(message: Uint8Array): ErrorRecord | undefined {
  try {
    return (JSON.parse(decoder.decode(message)) as { error?: ErrorRecord }).error;
  } catch {
    return undefined;
  }
}

/** A copy of a JSON value with bytes for base64. What does not fit the schema is left as it is; the check that follows says so. */
function withBytes(value: unknown, schema: TSchema, depth: number): unknown {
  if (depth === 0) return value;
  if (isBytes(schema)) return typeof value === 'string' && BASE64.test(value) ? new Uint8Array(Buffer.from(value, 'base64')) : value;
  const { properties, items, anyOf } = schema as { properties?: Record<string, TSchema>; items?: TSchema; anyOf?: TSchema[] };
  if (anyOf) {
    for (const variant of anyOf) {
      const candidate = withBytes(value, variant, depth - 1);
      if (checkOf(variant)(candidate)) return candidate;
    }
    return value;
  }
  if (Array.isArray(value)) return items ? value.map((item) => withBytes(item, items, depth - 1)) : value;
  if (typeof value !== 'object' || value === null || !properties) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [
      name,
      Object.hasOwn(properties, name) ? withBytes(field, properties[name]!, depth - 1) : field,
    ]),
  );
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const DEPTH_MAX = 16;
