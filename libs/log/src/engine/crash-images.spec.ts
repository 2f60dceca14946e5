import { keepRecord, seededRandom, seedFromEnv } from '@diptych/testing';
import { expect, it } from 'vitest';
import { crashEverywhere } from '../../test/crash-suite.js';

/*
 * Claim: whatever a crash or a power failure leaves of a log, at any operation on its disk, it opens again; nothing that anybody knew of is
 * lost, nothing is there that was not sent, everything is in its order, and repeats get their first answers.
 *
 * `npm test` does a few hundred images, `npm run test:long` (DIPTYCH_LONG=1) more than 20,000, with a record in results/crash-images.
 */
const long = process.env['DIPTYCH_LONG'] === '1';
const IMAGES = long ? 25_000 : 400;

it(
  `${IMAGES} crash images: nothing known is lost, nothing invented, nothing out of order`,
  { timeout: long ? 1_800_000 : 60_000 },
  async () => {
    const beganMs = performance.now();
    const report = await crashEverywhere({ seed: seedFromEnv(), images: IMAGES, random: seededRandom, bursts: long ? 40 : 25 });
    const record = { at: new Date().toISOString(), ...report, seconds: Math.round(performance.now() - beganMs) / 1_000 };
    console.info(`crash images ${JSON.stringify(record)}`);
    if (long) keepRecord('crash-images', record);
    expect(report.violations).toEqual([]);
    expect(report.images).toBeGreaterThanOrEqual(IMAGES);
  },
);
