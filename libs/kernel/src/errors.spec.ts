import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { DiptychError, ERROR_TABLE, type ErrorCode, hasCode, isDiptychError, isErrorCode, toDiptychError } from './errors.js';

const codes = Object.keys(ERROR_TABLE) as ErrorCode[];

describe('DiptychError', () => {
  it('may be raised to definite, never lowered from what its code promises', () => {
    for (const code of codes) {
      expect(new DiptychError(code, 'text').definite).toBe(ERROR_TABLE[code].definite);
      expect(new DiptychError(code, 'text', { definite: true }).definite).toBe(true);
      expect(new DiptychError(code, 'text', { definite: false }).definite).toBe(ERROR_TABLE[code].definite);
    }
  });

  it('is known across copies of this package, and nothing else is taken for it', () => {
    const ofOtherCopy = Object.assign(new Error('text'), { [Symbol.for('diptych.error')]: true, code: 'CONFLICT' });
    expect(hasCode(ofOtherCopy, 'CONFLICT', 'NOT_FOUND')).toBe(true);
    expect(hasCode(ofOtherCopy, 'NOT_FOUND')).toBe(false);
    for (const other of [new Error('text'), { code: 'CONFLICT' }, 'CONFLICT', null, undefined]) expect(isDiptychError(other)).toBe(false);
  });

  it('keeps ours as it is, and wraps anything else as INTERNAL with its cause', () => {
    const ours = new DiptychError('CONFLICT', 'text');
    expect(toDiptychError(ours)).toBe(ours);
    const cause = new TypeError('text');
    expect(toDiptychError(cause)).toMatchObject({ code: 'INTERNAL', definite: false, cause });
    expect('cause' in ours).toBe(false);
  });

  it('knows a code by its own name only', () => {
    expect(codes.every(isErrorCode)).toBe(true);
    for (const other of ['toString', '__proto__', 'conflict', '', 412, undefined]) expect(isErrorCode(other)).toBe(false);
  });
});

describe('docs/reference/errors.md', () => {
  const page = readFileSync(fileURLToPath(new URL('../../../docs/reference/errors.md', import.meta.url)), 'utf8');
  // Rows of tables that begin with a code in backticks: | `CODE` | status | definite | retry | meaning |
  const rows = page
    .split('\n')
    .filter((line) => /^\| *`/.test(line))
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .map(([, code, httpStatus, definite, retry, meaning]) => ({ code: code?.replaceAll('`', ''), httpStatus, definite, retry, meaning }));

  it('has every code once and no other, in the order of the code', () => {
    expect(rows.map(({ code }) => code)).toEqual(codes);
  });

  it.each(codes)('says of %s what the code says', (code) => {
    const { httpStatus, definite, retry, meaning } = ERROR_TABLE[code];
    const row = rows.find((candidate) => candidate.code === code);
    expect(row).toEqual({ code, httpStatus: String(httpStatus), definite: definite ? 'yes' : 'no', retry, meaning });
  });
});
