import { waitFor } from '@diptych/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { Arm, ARMS, type Part } from './arms.js';
import { ClosedLoop } from './support/closed-loop.js';
import { HttpClient, pathOf } from './support/http-client.js';
import { RawConnection } from './support/raw-http.js';

/*
 * Claim: SIGTERM under load loses nothing. Every process of every arm exits with 0, answers each request it has accepted, and a
 * request that got no answer, or one that says "it did not happen", did not happen.
 *
 * Method: clients write and read in a closed loop while one process after the other gets SIGTERM and is started again. At the end
 * every key is read: acknowledged ones are there, refused and unanswered ones are not.
 */
describe.each(ARMS)('a stop under load: $name', (spec) => {
  let arm: Arm | undefined;
  let http: HttpClient | undefined;

  afterEach(async () => {
    await http?.[Symbol.asyncDispose]();
    await arm?.[Symbol.asyncDispose]();
  });

  it.each(spec.processes.map(({ name, parts }) => ({ name, part: parts[0] as Part })))('$name', async ({ name, part }) => {
    arm = await Arm.start(spec);
    http = new HttpClient(arm.url);
    const isEdge = arm.holding('gateway') === name;
    const load = new ClosedLoop(http, 'load/');
    await waitFor(() => load.acknowledged.length >= 200, { what: '200 acknowledged writes' });

    const stopping = arm.process(name);
    const exit = await stopping.stop();
    expect(exit, stopping.stderr).toEqual({ code: 0, signal: null });
    expect(stopping.stderr).toBe('');
    // Long enough to see what is answered without it.
    const answered = load.answered + load.unanswered.length;
    await waitFor(() => load.answered + load.unanswered.length > answered + 50, { what: '50 more requests' });
    await arm.restart(part);
    await arm.untilReady();
    const before = load.acknowledged.length;
    await waitFor(() => load.acknowledged.length >= before + 200, { timeoutMs: 20_000, what: 'writes go on' });
    await load.stop();

    // What was cut off would be 502 or 504, a defect 500.
    expect(load.kinds('PUT 5').filter((kind) => !/^PUT 503 (UNAVAILABLE|OVERLOADED|CIRCUIT_OPEN)$/.test(kind))).toEqual([]);
    expect(load.kinds('GET 5').filter((kind) => !/^GET 503 (UNAVAILABLE|OVERLOADED|CIRCUIT_OPEN)$/.test(kind))).toEqual([]);
    expect(load.kinds('PUT 4')).toEqual([]);
    expect(load.vanished).toEqual([]);
    if (!isEdge) expect(load.unanswered, 'the edge was there all the time').toEqual([]);
    const token = (await http.put('marker', '')).headers['diptych-revision']!;
    const isThere = async (key: string) => (await http!.get(key, { 'diptych-revision': token })).status === 200;
    expect(await failing(load.acknowledged, isThere), 'acknowledged, and gone').toEqual([]);
    const isAbsent = async (key: string) => !(await isThere(key));
    expect(await failing(load.refused, isAbsent), 'refused, and done all the same').toEqual([]);
    expect(await failing(load.unanswered, isAbsent), 'accepted, and not answered').toEqual([]);
    await http[Symbol.asyncDispose]();
    await arm.stop();
  });
});

describe.each(ARMS)('requests under way at the stop: $name', (spec) => {
  it('bodies that are still coming are taken and answered, new connections are not', async () => {
    await using arm = await Arm.start(spec);
    const edge = arm.process(arm.holding('gateway'));
    const origin = arm.url;
    const half = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => {
        const connection = await RawConnection.open(origin);
        await connection.write(`PUT ${pathOf(`late-${i}`)} HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nhalf`);
        return connection;
      }),
    );
    await using http = new HttpClient(origin);
    await http.get('anything');
    const stopped = edge.stop();
    await waitFor(async () => !(await canConnect(origin)), { what: 'no new connections' });
    for (const connection of half) {
      await connection.write('done');
      const answer = await connection.answer();
      expect(answer.status, answer.text).toBe(201);
      expect(answer.headers['connection']).toBe('close');
      connection[Symbol.dispose]();
    }
    expect(await stopped).toEqual({ code: 0, signal: null });
    await arm.restart('gateway');
    await arm.untilReady();
    await using again = new HttpClient(arm.url);
    for (let i = 0; i < half.length; i++) expect((await again.get(`late-${i}`)).text).toBe('halfdone');
  });
});

async function canConnect(origin: string): Promise<boolean> {
  try {
    using _connection = await RawConnection.open(origin);
    return true;
  } catch {
    return false;
  }
}

async function failing(keys: readonly string[], holds: (key: string) => Promise<boolean>): Promise<string[]> {
  const failed: string[] = [];
  const next = keys.values();
  const reader = async () => {
    for (const key of next) if (!(await holds(key))) failed.push(key);
  };
  await Promise.all(Array.from({ length: 32 }, reader));
  return failed;
}
