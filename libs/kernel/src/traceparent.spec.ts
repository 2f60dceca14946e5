import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isTraceparent } from './traceparent.js';

/** Drawn and printed by the run; set it to repeat one. */
const seed = Number(process.env['DIPTYCH_SEED']);
const VALID = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

it('says what the grammar of the standard says, of what is nearly one', () => {
  const grammar = /^(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{0,72})?$/;
  const edit = fc.record({
    at: fc.nat({ max: 60 }),
    by: fc.constantFrom('', '0', 'a', 'f', 'g', 'F', '-', ' ', 'é', '€', '0'.repeat(32)),
    cut: fc.nat({ max: 33 }),
  });
  const text = fc.tuple(fc.constantFrom(VALID, `cc${VALID.slice(2)}`, `cc${VALID.slice(2)}-more`), fc.array(edit, { maxLength: 3 }));
  let valid = 0;
  fc.assert(
    fc.property(text, ([from, edits]) => {
      const given = edits.reduce<string>((text, { at, by, cut }) => text.slice(0, at) + by + text.slice(at + (by.length || cut)), from);
      valid += Number(grammar.test(given));
      expect([given, isTraceparent(given)]).toEqual([given, grammar.test(given)]);
    }),
    { seed, numRuns: 5_000, examples: [[[VALID, []]], [[VALID, [{ at: 3, by: '0'.repeat(32), cut: 0 }]]], [[`ff${VALID.slice(2)}`, []]]] },
  );
  expect(valid).toBeGreaterThan(100);
});
