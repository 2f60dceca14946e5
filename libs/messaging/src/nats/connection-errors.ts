import { DiptychError } from '@diptych/kernel';
import type { BrokerAddress } from './client/broker.js';
import { describeServer } from './dial.js';
import { messageOf } from './message-of.js';

export function brokerTooSlow(bytes: number): DiptychError {
  return new DiptychError('OVERLOADED', `the broker takes too little: ${bytes} bytes wait to be sent; this was not added`, {
    retryAfterMs: 100,
  });
}

export function isRefusal(error: unknown): boolean {
  return error instanceof Error && /authorization|authentication/i.test(`${error.name} ${error.message}`);
}

export function cannotReach(
  { servers, connectTimeoutMs }: { readonly servers: readonly BrokerAddress[]; readonly connectTimeoutMs: number },
  error: unknown,
): DiptychError {
  const where = servers.map(describeServer).join(', ');
  return new DiptychError(
    'UNAVAILABLE',
    isRefusal(error)
      ? `NATS at ${where} refuses the credentials: ${messageOf(error)}`
      : `cannot reach NATS at ${where} within ${connectTimeoutMs} ms (${messageOf(error)}); start nats-server there, or correct the address`,
    { cause: error },
  );
}
