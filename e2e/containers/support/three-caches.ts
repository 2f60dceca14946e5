import { afterAll, beforeAll, describe, inject } from 'vitest';
import { Panels } from './panels.js';

/** What the loss of one of several does takes a second or two. */
export const LATER = { lastsMs: 5_200, settlesMs: 2_000 };

/** Tests during which the services have three caches (`docker compose up --scale cache=3`). */
export function withThreeCaches(tests: () => void): void {
  describe('with three caches', () => {
    const panels = new Panels(inject('panels'));
    beforeAll(() => panels.scale('cache', 3));
    afterAll(() => panels.scale('cache', 1));
    tests();
  });
}
