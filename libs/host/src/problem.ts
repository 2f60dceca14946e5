import { STATUS_CODES } from 'node:http';
import type { ErrorCode } from '@diptych/kernel';

/** An RFC 9457 problem document. Machines look at `code`; `detail` is for people. */
export interface Problem {
  readonly type: 'about:blank';
  /** The phrase of the status. */
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
}

export const PROBLEM_CONTENT_TYPE = 'application/problem+json';

export function problem(status: number, code: ErrorCode, detail: string): Problem {
  return { type: 'about:blank', title: STATUS_CODES[status] ?? 'Client Closed Request', status, code, detail };
}
