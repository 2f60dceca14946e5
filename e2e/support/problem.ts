import { isErrorCode, type ErrorCode } from '@diptych/kernel';
import { expect } from 'vitest';
import type { Answer } from './http-client.js';

/** An RFC 9457 document with a code of the table; its `status` is the answer's. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
}

/** Asserts that an answer refuses the request as the contract says: status, code, and a document that says why. */
export function expectProblem(answer: Answer, status: number, code: ErrorCode): Problem {
  const seen = `${answer.status} ${answer.text.slice(0, 300)}`;
  expect(answer.status, seen).toBe(status);
  expect(answer.headers['content-type'], seen).toMatch(/^application\/problem\+json\b/);
  const problem = answer.json<Problem>();
  expect(problem, seen).toMatchObject({ status, code });
  expect(isErrorCode(problem.code)).toBe(true);
  expect(problem.type, seen).toEqual(expect.any(String));
  expect(problem.title.length, seen).toBeGreaterThan(0);
  expect(problem.detail.length, seen).toBeGreaterThan(0);
  // A stack or a path of the server in a document is a leak.
  expect(problem.detail, seen).not.toMatch(/\bat .*:\d+:\d+|node_modules/);
  if (status === 503 && (code === 'OVERLOADED' || code === 'CIRCUIT_OPEN'))
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  return problem;
}

/** What makes an answer of a panel in trouble acceptable: a refusal with a code of the table, and never a 500. */
export function isTroubleAnswer(answer: Answer): boolean {
  if (![502, 503, 504].includes(answer.status)) return false;
  return (
    (answer.headers['content-type'] ?? '').startsWith('application/problem+json') &&
    ['UNAVAILABLE', 'OVERLOADED', 'CIRCUIT_OPEN', 'CONNECTION_LOST', 'DEADLINE_EXCEEDED'].includes(answer.json<Problem>().code)
  );
}
