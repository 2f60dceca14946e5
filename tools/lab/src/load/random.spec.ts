import { expect, it } from 'vitest';
import { orderOf } from '../experiments/panel-runs.js';
import { seededRandom } from './random.js';

it('draws every order of six blocks about equally often over consecutive seeds', () => {
  const seen = new Map<string, number>();
  const seeds = 4_000;
  for (let seed = 0; seed < seeds; seed++) {
    const blocks = Array.from({ length: 6 }, (_, block) => orderOf(seed, block, ['monolith', 'services']).map(({ label }) => label[0]));
    // Each arm goes first in three of six, whatever is drawn.
    expect(blocks.filter(([first]) => first === 'm').length).toBe(3);
    const pattern = blocks.map(([first]) => first).join('');
    seen.set(pattern, (seen.get(pattern) ?? 0) + 1);
  }
  expect(seen.size).toBe(8);
  // 500 are expected of each, with a standard deviation of 21.
  for (const count of seen.values()) expect(Math.abs(count - seeds / 8)).toBeLessThan(105);
});

it('has a first draw that does not show the seed, and streams of one seed that do not show each other', () => {
  const draws = Array.from({ length: 10_000 }, (_, seed) => [seededRandom(seed, 'a').unit(), seededRandom(seed, 'b').unit()] as const);
  const above = (of: (draw: readonly [number, number]) => boolean) => draws.filter(of).length / draws.length;
  expect(Math.abs(above(([a]) => a > 0.5) - 0.5)).toBeLessThan(0.025);
  expect(Math.abs(above(([a, b]) => a > 0.5 === b > 0.5) - 0.5)).toBeLessThan(0.025);
  // Neighbours in seed are no neighbours in what they draw.
  const alike = draws.slice(1).filter(([a], i) => a > 0.5 === draws[i]![0] > 0.5).length / (draws.length - 1);
  expect(Math.abs(alike - 0.5)).toBeLessThan(0.025);
});
