import type { Capability } from '../dependency-table.js';

/** One request of the load as HTTP, and how to tell a right answer from a wrong one. */
export interface Operation {
  readonly method: 'GET' | 'PUT' | 'DELETE';
  readonly path: string;
  readonly body: string | undefined;
  /** What a right answer's body begins with, a character a byte; undefined: the status alone decides. */
  readonly bodyPrefix: string | undefined;
  readonly statuses: readonly number[];
}

/**
 * How an operation ended. Only `good` is good. `refused`: an error that says of itself that the operation did not and will not happen;
 * `wrong-status`: any other answer with a status that is not right, after which it may have happened; `unsent`: the bound of requests in
 * flight was reached; `pending`: the run was ended before it was.
 */
export const OUTCOMES = ['pending', 'good', 'refused', 'wrong-status', 'wrong-answer', 'timeout', 'reset', 'unsent'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** @param operationId unique over the life of an arm, whose processes and data are fresh: it makes every written value different from every other */
export function operationFor(capability: Capability, key: string, operationId: string, valueBytes: number): Operation {
  const path = `/v1/keys/${encodeURIComponent(key)}`;
  switch (capability) {
    case 'hit':
    case 'miss':
      return { method: 'GET', path, body: undefined, bodyPrefix: latin1(`${key}|`), statuses: [200] };
    case 'put':
      return { method: 'PUT', path, body: valueOf(key, operationId, valueBytes), bodyPrefix: undefined, statuses: [201, 204] };
    case 'delete':
      return { method: 'DELETE', path, body: undefined, bodyPrefix: undefined, statuses: [204] };
    case 'list':
      return {
        method: 'GET',
        path: `/v1/keys?prefix=${encodeURIComponent(key)}&limit=10`,
        body: undefined,
        bodyPrefix: '{',
        statuses: [200],
      };
    case 'report':
      return { method: 'GET', path: `/v1/report?prefix=${encodeURIComponent(key)}`, body: undefined, bodyPrefix: '{', statuses: [200] };
    case 'health':
      return { method: 'GET', path: '/health/live', body: undefined, bodyPrefix: undefined, statuses: [200] };
  }
}

/** The bytes of a text as the client sees them. */
function latin1(text: string): string {
  return Buffer.from(text).toString('latin1');
}

/** `<key>|<operation>|` and padding: a value says whose it is and which write wrote it. */
export function valueOf(key: string, operationId: string, valueBytes: number): string {
  return `${key}|${operationId}|`.padEnd(valueBytes, '.');
}

/** The operation that wrote a value, or undefined when no value of ours has this form or it belongs to another key. */
export function operationOf(key: string, value: string): string | undefined {
  if (!value.startsWith(`${key}|`)) return undefined;
  const end = value.indexOf('|', key.length + 1);
  return end < 0 ? undefined : value.slice(key.length + 1, end);
}
