import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { KeyIndex } from './key-index.js';
import { compareUtf8 } from './key-order.js';

/** Well-formed, with units on both sides of the surrogates more often than chance would have it. */
const key = fc
  .array(
    fc.oneof(fc.constantFrom('a', 'b', '\0', 'é', '\uD7FF', '\uE000', '\uFFFF', '\u{10000}', '\u{10FFFF}'), fc.string({ unit: 'binary' })),
    {
      minLength: 1,
      maxLength: 5,
    },
  )
  .map((parts) => parts.join(''))
  .filter((text) => text.length > 0);

it('compares as the UTF-8 bytes do', () => {
  fc.assert(
    fc.property(key, key, (a, b) => {
      expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
    { seed: seedFromEnv(), numRuns: 2_000 },
  );
});

it('is an ordered map, whatever comes and goes', () => {
  const operation = fc.record({ key, present: fc.boolean(), bytes: fc.nat(1_000) });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 100 }), key, fc.option(key, { nil: undefined }), (operations, prefix, after) => {
      const index = new KeyIndex();
      const model = new Map<string, { revision: number; bytes: number }>();
      operations.forEach(({ key, present, bytes }, i) => {
        if (present) {
          index.set(key, i, i * 2, i * 3, bytes, i + 1);
          model.set(key, { revision: i + 1, bytes });
        } else {
          index.delete(key);
          model.delete(key);
        }
      });
      expect(index.size).toBe(model.size);
      expect(index.valueBytesTotal).toBe([...model.values()].reduce((sum, { bytes }) => sum + bytes, 0));
      for (const { key } of operations) expect(index.revisionOf(key)).toBe(model.get(key)?.revision ?? 0);
      for (const start of ['', prefix]) {
        const found: Array<[string, number]> = [];
        index.scan(start, after, (key, { revision }) => found.push([key, revision]) > 0);
        const expected = [...model]
          .filter(([key]) => key.startsWith(start) && (after === undefined || compareUtf8(key, after) > 0))
          .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
          .map(([key, { revision }]) => [key, revision]);
        expect(found).toEqual(expected);
      }
    }),
    { seed: seedFromEnv(), numRuns: 300 },
  );
});
