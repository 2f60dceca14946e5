import { Arm, ARMS, waitFor } from '@diptych/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { ClosedLoop } from './support/closed-loop.js';
import { HttpClient, pathOf } from './support/http-client.js';
import { RawConnection } from './support/raw-http.js';

/*
 * Claim: SIGTERM under load loses nothing. Every process of every arm exits with 0, answers each request it has accepted, and a
 * request that got no answer, or one that says "it did not happen", did not happen.
 *
 * Method: clients write and read in a closed loop while one process after the other gets SIGTERM and is started again. At the end
 * every key is read: acknowledged ones are there, refused and unanswered ones are not. Before that, the edge gets SIGTERM while
 * requests are half sent: those it has accepted without a doubt.
 */
describe.each(ARMS)('a stop: $name', (spec) => {
  let arm: Arm | undefined;
  let http: HttpClient | undefined;
  let load: ClosedLoop | undefined;

  afterEach(async () => {
    await load?.stop();
    await http?.[Symbol.asyncDispose]();
    await arm?.[Symbol.asyncDispose]();
  });

  it('of each process under load, and of the edge under half a request', { timeout: 120_000 }, async () => {
    arm = await Arm.start(spec);
    await stopUnderHalfRequests(arm);

    http = new HttpClient(arm.url);
    load = new ClosedLoop(http, 'load/');
    for (const { name, parts } of spec.processes) {
      await writesGoOn(load, 200);
      const unanswered = load.unanswered.length;
      const stopping = arm.process(name);
      const exit = await stopping.stop();
      expect(exit, `${name}: ${stopping.stderr}`).toEqual({ code: 0, signal: null });
      expect(stopping.stderr).toBe('');
      await requestsGoOn(load, 50);
      await arm.restart(parts[0]!);
      await arm.untilReady();
      if (!parts.includes('gateway')) expect(load.unanswered.length, `the edge was there while ${name} was not`).toBe(unanswered);
    }
    await writesGoOn(load, 200);
    await load.stop();

    await assertTold(load, http);
    await http[Symbol.asyncDispose]();
    await arm.stop();
  });
});

/** Bodies that are still coming are taken and answered; new connections are not. */
async function stopUnderHalfRequests(arm: Arm): Promise<void> {
  const origin = arm.url;
  const half = await Promise.all(
    Array.from({ length: 10 }, async (_, i) => {
      const connection = await RawConnection.open(origin);
      // "100 Continue" says that this head was read, by whichever thread has the connection.
      await connection.write(`PUT ${pathOf(`late-${i}`)} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 8\r\n\r\n`);
      expect((await connection.interim()).status).toBe(100);
      await connection.write('half');
      return connection;
    }),
  );
  const stopped = arm.process(arm.holding('gateway')).stop();
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
}

async function writesGoOn(load: ClosedLoop, count: number): Promise<void> {
  const before = load.acknowledged.length;
  await waitFor(() => load.acknowledged.length >= before + count, { timeoutMs: 20_000, what: `${count} more writes` });
}

async function requestsGoOn(load: ClosedLoop, count: number): Promise<void> {
  const before = load.answered + load.unanswered.length;
  await waitFor(() => load.answered + load.unanswered.length >= before + count, { what: `${count} more requests` });
}

/** What the clients were told is what is there. */
async function assertTold(load: ClosedLoop, http: HttpClient): Promise<void> {
  // What was cut off would be 502 or 504, a defect 500.
  const trouble = [...load.kinds('PUT 5'), ...load.kinds('GET 5')];
  expect(trouble.filter((kind) => !/ 503 (UNAVAILABLE|OVERLOADED|CIRCUIT_OPEN)$/.test(kind))).toEqual([]);
  expect(load.kinds('PUT 4')).toEqual([]);
  expect(load.vanished).toEqual([]);
  const token = (await http.put('marker', '')).headers['diptych-revision']!;
  const statusOf = async (key: string) => (await http.get(key, { 'diptych-revision': token })).status;
  expect(await keysNot(200, load.acknowledged, statusOf), 'acknowledged, and gone').toEqual([]);
  expect(await keysNot(404, load.refused, statusOf), 'refused, and done all the same').toEqual([]);
  expect(await keysNot(404, load.unanswered, statusOf), 'accepted, and not answered').toEqual([]);
}

async function keysNot(status: number, keys: readonly string[], statusOf: (key: string) => Promise<number>): Promise<string[]> {
  const found: string[] = [];
  const next = keys.values();
  const reader = async () => {
    for (const key of next) if ((await statusOf(key)) !== status) found.push(key);
  };
  await Promise.all(Array.from({ length: 32 }, reader));
  return found;
}

async function canConnect(origin: string): Promise<boolean> {
  try {
    using _connection = await RawConnection.open(origin);
    return true;
  } catch {
    return false;
  }
}
