import { Arm, cacheProcess, logReadsOf, metricOf, servicesWithCaches, waitFor } from '@diptych/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectEntry } from './conformance/reading.js';
import { HttpClient } from './support/http-client.js';

/*
 * Claim: with several caches, reads by key go to one owner each, so that an entry is read from the log once and takes memory once; when an owner is killed, or
 * one is added, only the keys move that it had or gets, and nobody is shown anything wrong meanwhile. Reads by `any` are as right, and dearer.
 *
 * Method: three caches behind one gateway, one killed, one added. What each holds, and how often the log was read, is asked of the processes themselves.
 */
const KEYS = Array.from({ length: 150 }, (_, i) => `key ${i}`);

describe.each(['key', 'any'] as const)('three caches, reads by %s', (routing) => {
  let arm: Arm;
  let http: HttpClient;
  const values = new Map<string, string>();

  beforeAll(async () => {
    arm = await Arm.start(servicesWithCaches(3), { variables: { DIPTYCH_ROUTING_CACHE: routing } });
    http = new HttpClient(arm.url);
    await knows(3);
    for (const key of KEYS) await write(key, 'first');
  });

  afterAll(async () => {
    await http?.[Symbol.asyncDispose]();
    await arm?.[Symbol.asyncDispose]();
  });

  it('holds each entry once by key, up to three times by any', async () => {
    const reads = await logReads(async () => {
      for (let round = 0; round < 6; round++) await readAll();
    });
    const held = await entries('cache-1', 'cache-2', 'cache-3');
    console.info(`by ${routing}: ${KEYS.length} keys, held ${held.join(' + ')}, ${reads} reads of the log`);
    expect(sum(held)).toBe(reads);
    if (routing === 'key') {
      expect(reads).toBe(KEYS.length);
      // 50 expected of each, with a standard deviation of 6.
      for (const one of held) expect(one).toBeGreaterThan(14);
    } else expect(reads).toBeGreaterThan(2 * KEYS.length);
  });

  it('goes on when one is killed: only its keys are read from the log again', async () => {
    const [lost] = await entries('cache-1');
    const reads = await logReads(async () => {
      await arm.process('cache-1').kill();
      // Before anybody has noticed too: what nobody took goes to another.
      await readAll();
      await knows(2);
      await readAll();
    });
    const held = await entries('cache-2', 'cache-3');
    console.info(`by ${routing}: killed one that held ${lost}; the others hold ${held.join(' + ')}, ${reads} more reads of the log`);
    if (routing !== 'key') return;
    expect(reads).toBeGreaterThanOrEqual(lost!);
    // In the moment of the death one may go to whoever there is, and later to its owner.
    expect(reads).toBeLessThanOrEqual(2 * lost!);
  });

  it('goes on when one is added: it gets its share, and what the others hold stays right', async () => {
    await arm.add(cacheProcess(4));
    await knows(3);
    const before = await entries('cache-2', 'cache-3');
    const reads = await logReads(readAll);
    const [added] = await entries('cache-4');
    console.info(`by ${routing}: one more holds ${added} after one round, ${reads} reads of the log`);
    if (routing === 'key') {
      expect(reads).toBe(added);
      expect(added).toBeGreaterThan(14);
      expect(await entries('cache-2', 'cache-3')).toEqual(before);
    }
    for (const key of KEYS) await write(key, 'second');
    await readAll();
    await waitFor(
      async () => {
        for (const key of KEYS) expectEntry(await http.get(key), values.get(key)!);
        return true;
      },
      { what: 'every cache shows what was written last', timeoutMs: 20_000 },
    );
  });

  async function write(key: string, round: string): Promise<void> {
    const value = `${round} of ${key}`;
    const answer = await http.put(key, value);
    expect([201, 204], answer.text).toContain(answer.status);
    values.set(key, value);
    token = answer.headers['diptych-revision']!;
  }

  let token = '';
  /** With the token of the last write: so each answer has to be right, whoever gives it. */
  async function readAll(): Promise<void> {
    await Promise.all(KEYS.map(async (key) => expectEntry(await http.get(key, { 'diptych-revision': token }), values.get(key)!)));
  }

  async function logReads(during: () => Promise<void>): Promise<number> {
    const { url } = arm.process('log');
    const before = await logReadsOf(url);
    await during();
    return (await logReadsOf(url)) - before;
  }

  function entries(...names: string[]): Promise<number[]> {
    return Promise.all(names.map((name) => metricOf(arm.process(name).url, 'diptych_cache_entries')));
  }

  /** The gateway knows so many caches, and the log. */
  async function knows(caches: number): Promise<void> {
    await waitFor(async () => (await metricOf(arm.url, 'diptych_nats_members')) === caches + 1, {
      what: `the gateway knows ${caches} caches`,
    });
  }
});

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
