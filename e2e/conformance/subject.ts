import type { HttpClient } from '../support/http-client.js';

/** What the cases of one topic run against: one started arm, shared by all of them. */
export interface Subject {
  readonly origin: string;
  readonly http: HttpClient;
  /** Reads see acknowledged writes at once, without a token. */
  readonly seesAcknowledged: boolean;
  /** A counter of the process that holds the cache. */
  cacheCount(name: 'hits' | 'misses' | 'read_throughs'): Promise<number>;
  /** A key prefix nobody else uses, so that cases do not meet. */
  prefix(): string;
}

let prefixes = 0;

export function freshPrefix(): string {
  return `case-${(prefixes++).toString(36)}/`;
}
