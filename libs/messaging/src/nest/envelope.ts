import type { PacketMetadata } from '@nestjs/microservices';
import { DiptychError } from '@diptych/kernel';
import type { Headers } from './record.js';

/**
 * What a Nest message is in a request or event frame: a list of the data, the headers and the metadata of the dispatch hook, the last two
 * only when there are any. An array, and so never mistaken for the object that a typed port takes.
 */
export type Envelope = readonly [data: unknown, headers?: Headers | null, metadata?: PacketMetadata];

export function envelopeOf(data: unknown, headers: Headers | undefined, metadata: PacketMetadata | undefined): Envelope {
  if (metadata) return [data, headers ?? null, metadata];
  return headers ? [data, headers] : [data];
}

/** @throws INVALID_REQUEST when it is none */
export function asEnvelope(request: unknown): Envelope {
  if (Array.isArray(request) && request.length > 0 && request.length <= 3 && isFields(request[1]) && isFields(request[2]))
    return request as unknown as Envelope;
  throw new DiptychError('INVALID_REQUEST', 'the message is no message of a Nest client: call it with DiptychClient, or in JSON');
}

function isFields(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'object' && !Array.isArray(value));
}
