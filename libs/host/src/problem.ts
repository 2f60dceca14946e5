import { ERROR_TABLE, type ErrorCode } from '@diptych/kernel';

/** An error document (RFC 9457), as the gateway writes them too. `code` and `type` are stable; the rest is for people. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  /** The operation did not happen and will not happen. */
  readonly definite: boolean;
}

export const PROBLEM_CONTENT_TYPE = 'application/problem+json';

export function problem(status: number, code: ErrorCode, detail: string, definite: boolean = ERROR_TABLE[code].definite): Problem {
  return { type: `urn:diptych:error:${code}`, title: ERROR_TABLE[code].meaning, status, detail, code, definite };
}
