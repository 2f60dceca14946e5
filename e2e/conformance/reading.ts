import { expect } from 'vitest';
import type { Answer, HttpClient } from '../support/http-client.js';
import { expectProblem } from '../support/problem.js';
import type { Subject } from './subject.js';

/** Reads what a write was answered with: its token makes every arm show that state or a newer one. */
export function readAfter(http: HttpClient, key: string, write: Answer): Promise<Answer> {
  return http.get(key, { 'diptych-revision': write.headers['diptych-revision']! });
}

export function expectEntry(answer: Answer, value: string | Uint8Array, contentType?: string): void {
  expect(answer.status, answer.text.slice(0, 300)).toBe(200);
  // Compared as text of bytes: a difference prints short, and a megabyte compares fast.
  expect(
    answer.bytes.equals(Buffer.from(value as Uint8Array)),
    `got ${JSON.stringify(answer.bytes.toString('latin1').slice(0, 100))}`,
  ).toBe(true);
  if (contentType !== undefined) expect(answer.headers['content-type']).toBe(contentType);
  expect(answer.headers['etag']).toMatch(/^"[!#-~]+"$/);
  expect(answer.headers['diptych-revision']).toBeTruthy();
}

/** A write without a body of its own to compare: its position, by which two answers are the same answer. */
export function positionOf(answer: Answer): Record<string, string | undefined> {
  return { etag: answer.headers['etag'], revision: answer.headers['diptych-revision'] };
}

/**
 * Where the log stands, as the answer about a key nobody ever used shows it. The same before and after means that no request in between
 * changed anything.
 */
export async function headOfLog({ http, prefix }: Subject): Promise<string> {
  const absent = await http.get(prefix());
  expectProblem(absent, 404, 'NOT_FOUND');
  return absent.headers['diptych-revision']!;
}
