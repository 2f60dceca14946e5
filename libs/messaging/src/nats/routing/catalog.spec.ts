import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Handled } from './catalog.js';
import { encodeCatalog, parseCatalog, takersOf, takes } from './catalog.js';

const parameters = { seed: seedFromEnv(), numRuns: 500 };
const handled = fc.array(fc.tuple(fc.string({ minLength: 1 }), fc.option(fc.string())) as fc.Arbitrary<Handled>, { maxLength: 20 });
const catalog = fc.record({ instance: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/), handled });

describe('a catalog', () => {
  it('is read as it was written; cut off, of another version, or any other bytes, it is a RangeError', () => {
    fc.assert(
      fc.property(catalog, fc.nat(), fc.uint8Array({ maxLength: 40 }), (one, cut, garbage) => {
        const frame = encodeCatalog(one);
        expect(parseCatalog(frame)).toEqual(one);
        expect(() => parseCatalog(frame.subarray(0, cut % frame.byteLength))).toThrow(RangeError);
        expect(() => parseCatalog(Uint8Array.of(0xd9, 2, ...frame.subarray(2)))).toThrow(/version 2/);
        for (const bytes of [garbage, new Uint8Array([0xd9, 1, ...garbage])]) {
          try {
            expect(parseCatalog(bytes).handled).toBeInstanceOf(Array);
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
          }
        }
      }),
      parameters,
    );
  });
});

describe('takes', () => {
  it.each([
    ['a.b', 'a.b', true],
    ['a.b', 'a.c', false],
    ['a.*', 'a.b', true],
    ['a.*', 'a.b.c', false],
    ['a.*', 'a', false],
    ['*.b', 'a.b', true],
    ['a.>', 'a.b.c', true],
    ['a.>', 'a', false],
    ['>', 'a', true],
    ['a.*.>', 'a.b', false],
    ['a.*.>', 'a.b.c', true],
    ['a>', 'a>', true],
    ['a*.b', 'ax.b', false],
  ])('%s takes %s: %s', (pattern, subject, expected) => {
    expect(takes(pattern, subject)).toBe(expected);
  });
});

describe('who takes a subject', () => {
  const one = (...handles: Handled[]) => ({ handles });

  it('is whoever handles it, when all are of one queue group', () => {
    const instances = [one(['a', 'q'], ['b', 'q']), one(['a', 'q']), one(['b', 'q']), { handles: undefined }];
    expect(takersOf(instances, 'a')).toEqual(instances.slice(0, 2));
    expect(takersOf(instances, 'c')).toEqual([]);
    expect(takersOf([one(['a.*', 'q']), one(['a.b', 'q'])], 'a.b')).toHaveLength(2);
  });

  it('is nobody when the broker would do more: two groups, no group, or two handlers of one instance', () => {
    expect(takersOf([one(['a', 'q']), one(['a', 'r'])], 'a')).toEqual([]);
    expect(takersOf([one(['a', 'q']), one(['>', null])], 'a')).toEqual([]);
    expect(takersOf([one(['a', 'q']), one(['*', 'q'], ['a', 'q'])], 'a')).toEqual([]);
    expect(takersOf([one(['a', 'q'], ['b', null])], 'a')).toHaveLength(1);
  });
});
