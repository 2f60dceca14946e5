import { seedFromEnv, seededRandom } from '@diptych/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { blockOf } from './byte-block.js';
import { hashBytes } from './byte-hash.js';
import { KeyIndex } from './key-index.js';

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

function set(index: KeyIndex, key: string, valueBytes: number, revision: number): void {
  const { bytes, view } = blockOf(Buffer.from(key));
  const hash = hashBytes(view, 0, bytes.length);
  const slot = index.find(view, 0, bytes.length, hash);
  index.set(slot, view, 0, bytes.length, hash, 1, revision * 2, 3, valueBytes, revision);
}

function remove(index: KeyIndex, key: string): void {
  const { bytes, view } = blockOf(Buffer.from(key));
  const hash = hashBytes(view, 0, bytes.length);
  index.delete(index.find(view, 0, bytes.length, hash), hash);
}

async function keysOf(index: KeyIndex, prefix: string, after: string | undefined): Promise<Array<[string, number]>> {
  const found: Array<[string, number]> = [];
  await index.sort();
  index.scan(prefix, after, (key, { revision }) => found.push([key, revision]) > 0);
  return found;
}

const compareUtf8 = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

it('is an ordered map, whatever comes and goes', async () => {
  const operation = fc.record({ key, present: fc.boolean(), bytes: fc.nat(1_000), listed: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { maxLength: 100 }),
      key,
      fc.option(key, { nil: undefined }),
      async (operations, prefix, after) => {
        const index = new KeyIndex();
        const model = new Map<string, { revision: number; bytes: number }>();
        for (const [i, { key, present, bytes, listed }] of operations.entries()) {
          if (present) {
            set(index, key, bytes, i + 1);
            model.set(key, { revision: i + 1, bytes });
          } else {
            remove(index, key);
            model.delete(key);
          }
          if (listed) expect(await keysOf(index, '', undefined)).toHaveLength(model.size);
        }
        expect(index.size).toBe(model.size);
        expect(index.valueBytesTotal).toBe([...model.values()].reduce((sum, { bytes }) => sum + bytes, 0));
        for (const { key } of operations) expect(index.get(key)?.revision).toBe(model.get(key)?.revision);
        for (const start of ['', prefix]) {
          const found = await keysOf(index, start, after);
          const expected = [...model]
            .filter(([key]) => key.startsWith(start) && (after === undefined || compareUtf8(key, after) > 0))
            .sort(([a], [b]) => compareUtf8(a, b))
            .map(([key, { revision }]) => [key, revision]);
          expect(found).toEqual(expected);
        }
      },
    ),
    { seed: seedFromEnv(), numRuns: 300 },
  );
});

it('keeps its order through many keys, and through a time in which nobody asks for it', async () => {
  const random = seededRandom(seedFromEnv());
  const index = new KeyIndex();
  const model = new Map<string, number>();
  const change = (count: number) => {
    for (let i = 0; i < count; i++) {
      const key = `common prefix ${'x'.repeat(random() * 9)}${Math.floor(random() * 60_000)}`;
      const revision = model.size + i + 1;
      if (random() < 0.6) {
        set(index, key, 1, revision);
        model.set(key, revision);
      } else {
        remove(index, key);
        model.delete(key);
      }
    }
  };
  // More than are sorted at once, few, more than the short run takes, and more than are noted before the order is forgotten.
  for (const count of [50_000, 100, 5_000, 5_000, 5_000, 5_000, 100_000, 1_000]) {
    change(count);
    const sorting = index.sort();
    change(100);
    await sorting;
    const expected = [...model].sort(([a], [b]) => (a < b ? -1 : 1));
    // In one piece: comparing so many by `toEqual` takes seconds.
    expect(JSON.stringify(await keysOf(index, '', undefined)) === JSON.stringify(expected)).toBe(true);
    expect(index.size).toBe(model.size);
  }
});
