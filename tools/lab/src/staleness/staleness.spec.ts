import { expect, it, vi } from 'vitest';
import { verdict, type Judged } from './staleness.js';

const KEPT = { unread: 0, resurrected: 0, tooOld: 0, phantoms: 0 };
const edges = (more: Partial<Judged> = {}): Judged => ({
  name: 'edges',
  edgeIsCache: true,
  stale: 5,
  violations: KEPT,
  unproven: [],
  ...more,
});
const gateway: Judged = edges({ name: 'gateway', edgeIsCache: false, stale: 0 });

it.each([
  { what: 'all was kept, and something was stale where it can be', results: [edges(), gateway], code: 0, says: '' },
  {
    what: 'a promise was broken',
    results: [edges({ violations: { ...KEPT, resurrected: 1 } }), gateway],
    code: 1,
    says: 'a promise was broken',
  },
  { what: 'nothing was stale where it should be', results: [edges({ stale: 0 }), gateway], code: 2, says: 'no read was stale in edges' },
  { what: 'a fault is not proven', results: [edges({ unproven: ['cut'] })], code: 2, says: 'cannot say: cut' },
  { what: 'it did not come to its end', results: [edges()], failed: 'stopped', code: 2, says: 'cannot say: stopped' },
])('the verdict is $code when $what', ({ results, failed, code, says }) => {
  using said = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  expect(verdict(results, failed)).toBe(code);
  expect(said.mock.calls.join('')).toContain(says);
});
