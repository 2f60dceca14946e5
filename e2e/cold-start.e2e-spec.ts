import { Arm, logReadsOf, metricOf, MONOLITHS, SERVICES, servicesWithCaches, waitFor, type ArmSpec } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import { expectEntry } from './conformance/reading.js';
import { HttpClient } from './support/http-client.js';

/*
 * Claim: an empty cache does not send a stampede to the log. However many miss one key together, the log is read once a cache; and a cache that warms up
 * before it is ready has the keys that were written last, within its bounds.
 *
 * Method: real processes over HTTP; how often the log was read is asked of the log.
 */
const READERS = 1_000;
const [MONOLITH, MONOLITH_THREADS] = ['monolith', 'monolith-threads'].map((name) => MONOLITHS.find((spec) => spec.name === name)!) as [
  ArmSpec,
  ArmSpec,
];

describe('1,000 who miss one key together', () => {
  it.each([
    { what: 'one cache', spec: SERVICES, routing: 'any', readsMax: 1 },
    { what: 'three caches by key', spec: servicesWithCaches(3), routing: 'key', readsMax: 1 },
    { what: 'three caches by any', spec: servicesWithCaches(3), routing: 'any', readsMax: 3 },
    { what: 'a monolith', spec: MONOLITH, routing: 'any', readsMax: 1 },
    { what: 'a monolith of two threads', spec: MONOLITH_THREADS, routing: 'any', readsMax: 2 },
  ])('read the log at most once a cache, and once a thread of those that share one: $what', async ({ what, spec, routing, readsMax }) => {
    await using arm = await Arm.start(spec, { variables: { DIPTYCH_ROUTING_CACHE: routing } });
    await using http = new HttpClient(arm.url, { connections: READERS });
    const caches = spec.processes.filter(({ parts }) => parts.includes('cache')).length;
    if (spec.broker)
      await waitFor(async () => (await metricOf(arm.url, 'diptych_nats_members')) === caches + 1, { what: 'the gateway knows all caches' });
    const log = arm.process(arm.holding('log')).url;
    await http.put('hot', 'value');
    // So that the connections are there, and no cache has the key.
    await Promise.all(Array.from({ length: READERS }, () => http.send('GET', '/health/live')));
    const before = await logReadsOf(log);
    const answers = await Promise.all(Array.from({ length: READERS }, () => http.get('hot')));
    for (const answer of answers) expectEntry(answer, 'value');
    const reads = (await logReadsOf(log)) - before;
    console.info(`${what}: ${READERS} readers of one missing key, ${reads} reads of the log`);
    expect(reads).toBeGreaterThanOrEqual(1);
    expect(reads).toBeLessThanOrEqual(readsMax);
  });
});

describe('a cache that is started anew', () => {
  const KEYS = Array.from({ length: 600 }, (_, i) => `key ${i}`);
  const RECENT = KEYS.slice(-200);

  async function restarted(spec: ArmSpec, variables: Record<string, string>) {
    const arm = await Arm.start(spec, { variables });
    const http = new HttpClient(arm.url);
    for (const key of KEYS) await http.put(key, `value of ${key}`);
    const { url } = arm.process(arm.holding('log'));
    // A log that is restarted with the cache counts anew.
    const atStart = arm.holding('cache') === arm.holding('log') ? 0 : await logReadsOf(url);
    await arm.restart('cache');
    await arm.untilReady();
    const warming = (await logReadsOf(url)) - atStart;
    // Those who read what was written last, as many do: each key twice, all together.
    await waitFor(async () => (await http.get(KEYS[0]!)).status === 200, { what: 'reads come through' });
    const before = await logReadsOf(url);
    for (let round = 0; round < 2; round++)
      await Promise.all(RECENT.map(async (key) => expectEntry(await http.get(key), `value of ${key}`)));
    return {
      warming,
      forReaders: (await logReadsOf(url)) - before,
      stop: async () => {
        await http[Symbol.asyncDispose]();
        await arm.stop();
      },
    };
  }

  it.each([SERVICES, MONOLITH, MONOLITH_THREADS])(
    'sends its first readers to the log without a warm-up, and not with one: $name',
    async (spec) => {
      const cold = await restarted(spec, {});
      const warm = await restarted(spec, { DIPTYCH_CACHE_WARM_UP_KEYS: '300' });
      console.info(
        `${spec.name}: after a restart, ${2 * RECENT.length} reads of the ${RECENT.length} keys written last: ${cold.forReaders} reads of the log without a ` +
          `warm-up, ${warm.forReaders} with one of 300 keys, which itself took ${warm.warming}`,
      );
      expect([cold.warming, cold.forReaders]).toEqual([0, RECENT.length]);
      expect([warm.warming, warm.forReaders]).toEqual([300, 0]);
      await cold.stop();
      await warm.stop();
    },
  );
});
