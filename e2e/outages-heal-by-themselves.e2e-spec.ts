import { Arm, isAlive, SERVICES, waitFor } from '@diptych/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectEntry, readAfter } from './conformance/reading.js';
import { HttpClient, type Answer } from './support/http-client.js';
import { isTroubleAnswer } from './support/problem.js';

/*
 * Claim: among the services, what does not need the part that is gone goes on, what needs it is refused with a problem document
 * (502, 503 or 504, never 500), nobody has to be restarted but the part itself, and acknowledged writes are there.
 */
let arm: Arm;
let http: HttpClient;
const kept = new Map<string, string>();

// One panel for all outages: each must have left it whole for the next.
beforeAll(async () => {
  arm = await Arm.start(SERVICES);
  http = new HttpClient(arm.url);
  await write(20);
});

afterAll(async () => {
  await http?.[Symbol.asyncDispose]();
  await arm?.[Symbol.asyncDispose]();
});

describe('an outage among the services', () => {
  it('of the broker: all refused while it is away, all well when it is back', async () => {
    const { pids } = arm;
    await arm.broker.kill();
    await seesTrouble(() => http.put(`during-${kept.size}`, 'never'));
    await seesTrouble(() => http.get('kept-0'));
    await seesTrouble(() => http.list({ prefix: 'kept' }));
    await seesTrouble(() => http.send('GET', '/v1/report?prefix=kept'));
    await waitFor(async () => (await http.send('GET', '/health/ready')).status === 503, { what: 'the gateway is not ready' });
    expect((await http.send('GET', '/health/live')).status).toBe(200);

    await arm.broker.restart();
    await arm.untilReady();
    await heals(() => http.get('kept-0'));
    await heals(() => http.put('after', 'the outage'));
    await allKept();
    expect(arm.pids, 'nobody was restarted').toEqual(pids);
    for (const pid of pids) expect(isAlive(pid)).toBe(true);
  });

  it('of the broker, three short ones under load', async () => {
    for (let round = 0; round < 3; round++) {
      let loading = true;
      const workers = Array.from({ length: 8 }, async (_, w) => {
        for (let i = 0; loading; i++) {
          const key = `kept-${round}-${w}-${i}`;
          const answer = await http.put(key, key);
          if (answer.status === 201) kept.set(key, key);
          else expect(isTroubleAnswer(answer), `${answer.status} ${answer.text}`).toBe(true);
        }
      });
      const before = kept.size;
      await waitFor(() => kept.size > before + 100, { what: '100 writes' });
      await arm.broker.kill();
      await arm.broker.restart();
      const during = kept.size;
      await waitFor(() => kept.size > during + 100, { timeoutMs: 20_000, what: 'writes go on' });
      loading = false;
      await Promise.all(workers);
    }
    await allKept();
  });

  it('of the cache: writes go on, lists and reports too; reads are refused, and come back with it', async () => {
    await arm.kill('cache');
    await write(20);
    expect((await http.list({ prefix: 'kept' })).status).toBe(200);
    expect((await http.send('GET', '/v1/report?prefix=kept')).status).toBe(200);
    await seesTrouble(() => http.get('kept-0'));
    await arm.restart('cache');
    await heals(() => http.get('kept-0'));
    await allKept();
  });

  it('of the log: writes are refused; reads of what the cache holds are served as long as it is fresh enough, then refused', async () => {
    for (const key of kept.keys()) await http.get(key);
    await arm.kill('log');
    const sinceKillMs = performance.now();
    // An answer from memory is right, a refusal is right; anything else is not.
    const served = await http.get('kept-0');
    if (served.status === 200) expect(served.text).toBe(kept.get('kept-0'));
    else expect(isTroubleAnswer(served), served.text).toBe(true);
    await seesTrouble(() => http.put('during', 'never'));
    await seesTrouble(() => http.list());
    await waitFor(async () => isTroubleAnswer(await http.get('kept-0')), { timeoutMs: 15_000, what: 'stale entries are no longer served' });
    console.info(
      `log outage: an entry in memory was ${served.status === 200 ? 'served' : 'refused'} at once, refused after ${Math.round(performance.now() - sinceKillMs)} ms`,
    );

    await arm.restart('log');
    await heals(() => http.put('after', 'the outage'));
    await heals(() => http.get('kept-0'));
    await allKept();
    expect((await http.get('during')).status, 'refused, and not done').toBe(404);
  });

  it('of the gateway: nothing is lost with it', async () => {
    await arm.kill('gateway');
    await expect(http.get('kept-0')).rejects.toThrow();
    await arm.restart('gateway');
    await heals(() => http.get('kept-0'));
    await allKept();
  });

  it('a log that hangs is a deadline, not a hang: 504, and what was refused so is in doubt', async () => {
    await arm.kill('log', 'SIGSTOP');
    const beganMs = performance.now();
    const answer = await http.put('in-doubt', 'maybe', { 'diptych-timeout-ms': '500' });
    expect(performance.now() - beganMs).toBeLessThan(4_000);
    expect(isTroubleAnswer(answer), answer.text).toBe(true);
    await arm.kill('log', 'SIGCONT');
    await heals(() => http.put('after', 'the thaw'));
    await allKept();
  });

  it('leave a panel that stops cleanly', async () => {
    await http[Symbol.asyncDispose]();
    await arm.stop();
  });
});

async function write(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const [key, value] = [`kept-${kept.size}`, `value ${kept.size}`];
    const answer = await http.put(key, value);
    expect(answer.status, answer.text).toBe(201);
    kept.set(key, value);
  }
}

/** The first answers may still come from before the outage; then it is refusals. */
async function seesTrouble(send: () => Promise<Answer>): Promise<void> {
  await waitFor(
    async () => {
      const answer = await send();
      if (isTroubleAnswer(answer)) return true;
      // No use in waiting for a 500 to go away.
      expect([200, 201, 204], `${answer.status} ${answer.text}`).toContain(answer.status);
      return false;
    },
    { timeoutMs: 15_000, what: 'a refusal' },
  );
}

async function heals(send: () => Promise<Answer>): Promise<void> {
  await waitFor(async () => (await send()).status < 300, { timeoutMs: 15_000, what: 'it is healed' });
}

async function allKept(): Promise<void> {
  const marker = await http.put('marker', String(performance.now()));
  for (const [key, value] of kept) expectEntry(await readAfter(http, key, marker), value);
}
