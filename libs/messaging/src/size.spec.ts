import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encode } from './codec.js';
import { isLargerThan } from './size.js';

it('never calls larger than the bound what would be encoded within it', () => {
  const value = fc.object({
    withTypedArray: false,
    withNullPrototype: false,
    values: [fc.string({ unit: 'binary' }), fc.double(), fc.boolean(), fc.constant(null), fc.uint8Array({ maxLength: 500 })],
  });
  fc.assert(
    fc.property(value, (given) => {
      const bytes = encode(given).byteLength;
      expect(isLargerThan(given, bytes)).toBe(false);
    }),
    { seed: seedFromEnv() },
  );
});

it('counts what makes messages large: bytes, strings, many entries', () => {
  expect(isLargerThan({ value: new Uint8Array(1_001) }, 1_000)).toBe(true);
  expect(isLargerThan({ entry: { value: 'x'.repeat(1_001) } }, 1_000)).toBe(true);
  expect(isLargerThan({ keys: Array.from({ length: 101 }, () => ({ key: '0123456789' })) }, 1_000)).toBe(true);
  expect(isLargerThan({ keys: Array.from({ length: 90 }, () => ({ key: '0123456789' })) }, 1_000)).toBe(false);
});

it('ends on a cycle', () => {
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  expect(isLargerThan(cycle, 1_000)).toBe(false);
});
