import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';
import { expect, it } from 'vitest';
import { buildImages, ContainerFleet, type ContainerInstance } from './container-fleet.js';
import { CPUS_AN_INSTANCE, type Pool } from './fleet.js';
import { SignalReader } from './signals.js';

/*
 * Goal: containers of the services come and go by Docker Compose without a request lost.
 * Method: one gateway and one cache become three each and one each again, the oldest going first, so that in the end none of the first is left, while three
 * clients write and read one key after the other. A request is lost when it is cut off or answered wrongly. That nobody could answer it in time (503, 504: a full
 * machine, or the only gateway late for its checks) is no loss: it says so, and is sent again with the same Idempotency-Key.
 */
const CLIENTS = 3;
const TRIES_MAX = 600;

it('services go from one to three and back to one under light load, and lose nothing', async () => {
  await buildImages();
  await using fleet = await ContainerFleet.start('services-scaled', {}, { project: `diptych-scaling-test-${process.pid}` });
  const first = [...fleet.serving('gateway'), ...fleet.serving('cache')];
  const load = clients(fleet.url);
  try {
    for (const pool of ['gateway', 'cache'] as const) await Promise.all([fleet.add(pool), fleet.add(pool)]);
    await load.some(60);
    const signals = await new SignalReader(CPUS_AN_INSTANCE, () => Date.now(), 60_000).read(fleet.serving('gateway'));
    expect(signals.map(({ eventLoopUtilization }) => typeof eventLoopUtilization)).toEqual(['number', 'number', 'number']);
    for (const pool of ['gateway', 'cache'] as const) while (fleet.serving(pool).length > 1) await fleet.remove(oldest(fleet, pool));
    await load.some(60);
  } finally {
    await load.end();
  }
  expect(first.some((each) => [...fleet.serving('gateway'), ...fleet.serving('cache')].includes(each))).toBe(false);
  console.info(`${load.answered()} requests, ${load.turnedAway()} of them more than once`);
  expect(load.lost).toEqual([]);
  // Held to a quarter of a core, of which the engine's own account tells.
  const held = (await fleet.use()).filter(({ pool }) => pool !== 'balancer');
  expect(held.every(({ cpus, throttling }) => cpus === 0.25 && throttling !== undefined)).toBe(true);
  expect(held.some(({ throttling }) => throttling!.throttled > 0)).toBe(true);
}, 600_000);

function oldest(fleet: ContainerFleet, pool: Pool): ContainerInstance {
  return fleet.serving(pool)[0]!;
}

/** Each writes a key of its own and reads it back, over and over. */
function clients(url: string) {
  const lost: string[] = [];
  let [answered, turnedAway, isOver] = [0, 0, false];
  const send = async (what: string, path: string, init: RequestInit): Promise<Response | undefined> => {
    for (let tries = 1; tries <= TRIES_MAX; tries++) {
      try {
        const answer = await fetch(`${url}${path}`, init);
        if (answer.status !== 503 && answer.status !== 504) return answer;
        await answer.body?.cancel();
      } catch (error) {
        lost.push(`${what}: ${inspect(error)}`);
        return undefined;
      }
      turnedAway += tries === 1 ? 1 : 0;
      await sleep(100);
    }
    lost.push(`${what}: turned away ${TRIES_MAX} times`);
    return undefined;
  };
  const client = async (number: number) => {
    for (let i = 0; !isOver; i++) {
      const [path, value] = [`/v1/keys/client-${number}-${i}`, `${number} ${i}`];
      const written = await send(`write ${i}`, path, { method: 'PUT', body: value, headers: { 'idempotency-key': randomUUID() } });
      if (written && written.status !== 201) lost.push(`write ${i}: ${written.status} ${await written.text()}`);
      const token = written?.headers.get('diptych-revision');
      const read = await send(`read ${i}`, path, { headers: token ? { 'diptych-revision': token } : {} });
      const found = await read?.text();
      if (read && found !== value) lost.push(`read ${i}: ${read.status} ${found}`);
      answered += 2;
    }
  };
  const running = Array.from({ length: CLIENTS }, (_, number) => client(number));
  return {
    lost,
    answered: () => answered,
    turnedAway: () => turnedAway,
    /** Resolves when so many more have been answered. */
    some: async (count: number) => {
      for (const until = answered + count; answered < until;) await sleep(50);
    },
    end: async () => {
      isOver = true;
      await Promise.all(running);
    },
  };
}
