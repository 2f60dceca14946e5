import { Arm, metricOf, PANELS } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import { HttpClient, type Answer } from './support/http-client.js';

/*
 * Claim: the report, the one expensive call, is computed once until a key under its prefix changes, for all who ask; what is kept costs a bounded number of
 * bytes, which its metrics show; and nobody is ever shown an old one, with no token sent.
 *
 * Method: both panels over HTTP. How often it was computed, and what is kept, is asked of the log's process.
 */
const ENTRIES = 3_000;
const ASKED = 40;

describe.each(PANELS)('a report of the $name', (spec) => {
  it('is computed once until something under its prefix changes', async () => {
    await using arm = await Arm.start(spec);
    await using http = new HttpClient(arm.url);
    const write = async (from: number, step: number) => {
      for (let i = from; i < ENTRIES; i += step) await http.put(`reported/${i}`, `${i} `.repeat(100));
    };
    await Promise.all(Array.from({ length: 32 }, (_, from) => write(from, 32)));
    const { url } = arm.process(arm.holding('log'));
    const count = (name: string) => metricOf(url, `diptych_log_report${name}`);
    const report = () => http.send('GET', '/v1/report?prefix=reported/');

    const together = await Promise.all(Array.from({ length: ASKED }, report));
    expect(new Set(together.map(hashOf)).size).toBe(1);
    const kept: number[] = [];
    const computed: number[] = [];
    for (let round = 0; round < 9; round++) {
      kept.push(await timed(report));
      await http.put('elsewhere', String(round));
      kept.push(await timed(report));
      await http.put('reported/0', String(round));
      computed.push(await timed(report));
    }
    expect(hashOf(await report())).not.toBe(hashOf(together[0]!));

    const [misses, drops, bytes] = [await count('_misses_total'), await count('_drops_total'), await count('s_kept_bytes')];
    console.info(
      `${spec.name}: a report over ${ENTRIES} entries took ${median(computed).toFixed(1)} ms computed and ${median(kept).toFixed(1)} ms kept (medians); ` +
        `${misses} of ${misses + (await count('_hits_total'))} were computed or waited for; one kept takes ${bytes} bytes`,
    );
    expect([drops, await count('s_kept')]).toEqual([computed.length, 1]);
    // Of those who asked together all but the first may have come when it was done.
    expect(misses).toBeGreaterThan(computed.length);
    expect(misses).toBeLessThanOrEqual(ASKED + computed.length);
    expect(bytes).toBeGreaterThan(500);
    expect(bytes).toBeLessThan(5_000);
  });
});

function hashOf(answer: Answer): string {
  expect(answer.status, answer.text.slice(0, 200)).toBe(200);
  const { entries, contentHash } = answer.json<{ entries: number; contentHash: string }>();
  expect(entries).toBe(ENTRIES);
  return contentHash;
}

async function timed(send: () => Promise<Answer>): Promise<number> {
  const startedMs = performance.now();
  hashOf(await send());
  return performance.now() - startedMs;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}
