import { setTimeout as delay } from 'node:timers/promises';
import { Arm, keepRecord, MONOLITHS, SERVICES, seededRandom, seedFromEnv } from '@diptych/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { AcknowledgedWrites, listKeys, readBack } from './support/acknowledged-writes.js';
import { cities, CITY_COUNT } from './support/cities.js';
import { HttpClient } from './support/http-client.js';

/*
 * Claim: an acknowledged write survives SIGKILL of the process that holds the log, in each panel and in the monolith of several threads.
 *
 * Method: one client with many requests in flight writes every entry once, overwrites some and deletes some, while the process is
 * killed at random moments and started again on the same directory. The client notes what was acknowledged and what is in
 * doubt; half of the operations in doubt are repeated with the same Idempotency-Key. After the last restart every key is read
 * back, and the list of keys is held against what may be there: nothing lost, nothing wrong, nothing made up.
 *
 * `npm test` does a small size, `npm run test:long` (DIPTYCH_LONG=1) all entries and 200 kills, with a record in results/durability.
 */
const long = process.env['DIPTYCH_LONG'] === '1';
const size = long ? { entries: CITY_COUNT, kills: 200 } : { entries: 6_000, kills: 3 };
const IN_FLIGHT = 96;

describe.each([...MONOLITHS, SERVICES])('durability: $name', (spec) => {
  let arm: Arm | undefined;
  let http: HttpClient | undefined;

  afterEach(async () => {
    await http?.[Symbol.asyncDispose]();
    await arm?.[Symbol.asyncDispose]();
  });

  it(
    `${size.entries} entries, ${size.kills} times SIGKILL in mid-load: every acknowledged write is there`,
    async () => {
      const seed = seedFromEnv();
      const beganMs = performance.now();
      arm = await Arm.start(spec);
      const load = new Load(arm, seed);
      http = load.http;
      await load.run();

      const marker = await http.put('marker', 'after all');
      const token = marker.headers['diptych-revision']!;
      const findings = await readBack(http, load.writes, token, IN_FLIGHT);
      const listed = await listKeys(http, 'city/');
      const phantoms = listed.filter((key) => !load.writes.possible(key).some((state) => state !== undefined));
      const listedKeys = new Set(listed);
      const missing = [...load.writes.keys].filter((key) => !load.writes.possible(key).includes(undefined) && !listedKeys.has(key));

      const { acknowledged, inDoubt, settledByRepeat, attempts } = load.writes;
      const record = {
        arm: spec.name,
        at: new Date().toISOString(),
        seed,
        entries: size.entries,
        kills: load.kills,
        acknowledged,
        attempts,
        inDoubt,
        settledByRepeat,
        read: findings.read,
        lost: findings.lost.length,
        wrong: findings.wrong.length,
        phantoms: phantoms.length,
        missingFromList: missing.length,
        seconds: Math.round((performance.now() - beganMs) / 100) / 10,
      };
      console.info(`durability ${JSON.stringify(record)}`);
      if (long) keepRecord('durability', record, `-${spec.name}`);

      expect(load.kills).toBe(size.kills);
      expect(findings.read).toBe(size.entries);
      expect({ lost: findings.lost, wrong: findings.wrong, phantoms, missing }).toEqual({ lost: [], wrong: [], phantoms: [], missing: [] });
      await http[Symbol.asyncDispose]();
      await arm.stop();
    },
    long ? 1_800_000 : 120_000,
  );
});

/** The writers and the killer, who both follow the seed; only the moments within the machine are chance. */
class Load {
  readonly writes = new AcknowledgedWrites();
  readonly http: HttpClient;
  kills = 0;
  readonly #arm: Arm;
  readonly #random: () => number;
  /** Pending while the log is down: retrying then would only burn attempts. */
  #up: Promise<void> = Promise.resolve();
  #killer: Promise<void> = Promise.resolve();

  constructor(arm: Arm, seed: number) {
    this.#arm = arm;
    this.#random = seededRandom(seed);
    this.http = new HttpClient(arm.url, { connections: IN_FLIGHT, timeoutMs: 30_000 });
  }

  async run(): Promise<void> {
    const entries = cities(size.entries);
    const killAt = Array.from({ length: size.kills }, () => Math.floor((0.02 + 0.95 * this.#random()) * entries.length)).sort(
      (a, b) => a - b,
    );
    const next = entries.values();
    const writer = async () => {
      for (const { key, value } of next) {
        await this.#write(key, value);
        const chance = this.#random();
        if (chance < 0.05) await this.#write(key, `${value} again`);
        else if (chance < 0.07) await this.#write(key, undefined);
        // Only one outage at a time; a threshold passed during one counts after it.
        if (this.kills < killAt.length && this.writes.acknowledged >= killAt[this.kills]!) this.#outage();
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, writer));
    await this.#killer;
    await this.#up;
  }

  async #write(key: string, value: string | undefined): Promise<void> {
    const repeatInDoubt = this.#random() < 0.5;
    await this.writes.perform(() => this.http, { key, value }, { ready: () => this.#up, repeatInDoubt });
  }

  #outage(): void {
    this.kills++;
    const afterMs = this.#random() * 20;
    const previous = this.#killer;
    this.#killer = (async () => {
      await previous;
      // Acknowledgements come in the rhythm of the disk; the delay takes the kill out of that rhythm.
      await delay(afterMs);
      let reopen!: () => void;
      this.#up = new Promise((resolve) => (reopen = resolve));
      try {
        await this.#arm.kill('log');
        await this.#arm.restart('log');
        await this.#arm.untilReady();
      } finally {
        reopen();
      }
    })();
    // Whoever awaits it sees the failure; until then it must not count as unhandled.
    this.#killer.catch(() => undefined);
  }
}
