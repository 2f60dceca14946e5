import { appendFileSync } from 'node:fs';
import { systemClock } from '@diptych/kernel';
import { partsUse } from './capacity.js';
import type { Fleet, FleetUse } from './fleet.js';

/**
 * Keeps once a second what share of its quota each process used and in how many of its periods it was stopped, a JSON line each: what stood still when answers came late. Log and broker
 * are in it too, of which no decision tells.
 */
export function recordUse(fleet: Fleet, file: string): Disposable {
  let before: { readonly atMs: number; readonly use: readonly FleetUse[] } | undefined;
  const look = async () => {
    const atMs = systemClock.nowMs();
    const use = await fleet.use();
    if (before) {
      const parts = partsUse(before.use, use, atMs - before.atMs).map(({ name, usedShare, throttledShare }) => [
        name,
        usedShare,
        throttledShare,
      ]);
      appendFileSync(file, `${JSON.stringify({ wallMs: systemClock.wallMs(), parts }, roundedShares)}\n`);
    }
    before = { atMs, use };
  };
  // A second that could not be read is one that is missing.
  return systemClock.every(1_000, () => void look().catch(() => undefined));
}

function roundedShares(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toFixed(3)) : value;
}
