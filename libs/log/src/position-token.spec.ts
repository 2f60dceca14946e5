import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { formatPosition, parsePosition } from './position-token.js';

it('reads back what it wrote', () => {
  const position = fc.record({
    incarnation: fc.stringMatching(/^[0-9a-f]{16}$/),
    partition: fc.integer({ min: 0, max: 65_535 }),
    revision: fc.maxSafeNat(),
  });
  fc.assert(
    fc.property(position, (given) => {
      expect(parsePosition(formatPosition(given))).toEqual(given);
    }),
    { seed: seedFromEnv() },
  );
});

it.each([
  '',
  '0123456789abcdef-0',
  '0123456789abcdef-0-1 ',
  ' 0123456789abcdef-0-1',
  '0123456789abcdef-0-1\n',
  '0123456789ABCDEF-0-1',
  '0123456789abcde-0-1',
  '0123456789abcdef-00-1',
  '0123456789abcdef-0-01',
  '0123456789abcdef-0--1',
  '0123456789abcdef-0-1.5',
  '0123456789abcdef-0-1e3',
  '0123456789abcdef-65536-1',
  '0123456789abcdef-0-9007199254740992',
  '"0123456789abcdef-0-1"',
])('takes nothing else: %j', (text) => {
  expect(parsePosition(text)).toBeUndefined();
});
