import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { Agent, get } from 'node:http';
import { freePort, waitFor, type RunningProcess } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import { eventsOf, runTiny, startTiny, untilSaid, urlOf } from './tiny-process.js';

const program = new URL('./fixtures/tiny-threads.ts', import.meta.url);
const start = (variables: Record<string, string> = {}) => startTiny({ DIPTYCH_THREADS_COUNT: '2', ...variables }, undefined, program);

describe.concurrent('a process of several threads', { timeout: 300_000 }, () => {
  it('has them all behind one port, answers for them as one, and ends cleanly', async () => {
    await using tiny = await start();
    const url = urlOf(tiny);
    await waitFor(async () => (await threadsBehind(url, 30)).size === 2, { timeoutMs: 60_000 });
    const ready = (await (await fetch(`${url}/health/ready`)).json()) as object;
    expect(ready).toEqual({
      ok: true,
      reasons: [],
      checks: { 'thread 1': { ok: true }, 'thread 2': { ok: true } },
    });
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toMatch(/^process_resident_memory_bytes \d+$/m);
    expect(metrics).toMatch(/^diptych_ready 1$/m);
    expect(tiny.stdout.split('\n').filter((line) => line.includes('"ready"'))).toHaveLength(1);
    const slow = fetch(`${url}/do/slow`);
    await untilSaid(tiny, 'slow begun');
    await tiny.kill('SIGTERM');
    await untilSaid(tiny, 'stopping');
    await tiny.kill('SIGUSR2');
    expect((await slow).status).toBe(200);
    expect(await tiny.exited).toEqual({ code: 0, signal: null });
    expect(tiny.stderr).toBe('');
  });

  it.each([
    ['throw', 'thrown beside a request'],
    ['exit', 'status 3'],
  ])(
    'a thread that ends by itself (%s): the others answer what they have accepted, and the process ends with 1 and says why',
    async (how, why) => {
      await using tiny = await start();
      const url = urlOf(tiny);
      const slow = await slowInAll(tiny);
      await fetch(`${url}/do/${how}`).catch(() => undefined);
      await untilSaid(tiny, 'stopping');
      await tiny.kill('SIGUSR2');
      const answers = await Promise.all(slow);
      expect(await tiny.exited).toEqual({ code: 1, signal: null });
      expect(tiny.stderr).toMatch(new RegExp(`^tiny: thread \\d ended by itself \\(.*${why}.*\\)`));
      // Those of the thread that died are lost; there are others.
      expect(answers.filter((answer) => answer !== undefined).length).toBeGreaterThan(0);
    },
  );

  it('is not ready while the loop of one thread is blocked', async () => {
    await using tiny = await start();
    const url = urlOf(tiny);
    const blocking = fetch(`${url}/do/block`);
    const report = await waitFor(
      async () => {
        const answer = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2_500) }).catch(() => undefined);
        return answer?.status === 503 ? ((await answer.json()) as { reasons: string[] }) : undefined;
      },
      { timeoutMs: 20_000 },
    ).catch(() => undefined);
    await blocking;
    // Whether a thread that is free was asked is up to the system, which spreads connections.
    if (report) expect(report.reasons).toEqual([expect.stringMatching(/^thread \d: worker.ready did not answer/)]);
    await waitFor(async () => (await fetch(`${url}/health/ready`)).status === 200, { timeoutMs: 60_000 });
  });

  it('two that start at once on one port: exactly one has it', async () => {
    const port = String(await freePort());
    const variables = { DIPTYCH_THREADS_COUNT: '2', DIPTYCH_HTTP_PORT: port };
    const both = await Promise.all([0, 1].map(() => startTiny(variables, () => true, program)));
    const [first, second] = both;
    await waitFor(() => both.some(({ exit }) => exit !== undefined) && both.some(({ stdout }) => stdout.includes('"ready"')), {
      timeoutMs: 120_000,
    });
    const [loser, winner] = first!.exit ? [first!, second!] : [second!, first!];
    expect(loser.exit).toEqual({ code: 2, signal: null });
    expect(loser.stderr).toContain(`port ${port} on 127.0.0.1 is in use by another process`);
    expect((await fetch(`http://127.0.0.1:${port}/health/live`)).status).toBe(200);
    await winner.stop();
  });

  it('refuses a port that somebody has, shared or not', async () => {
    for (const reusePort of [false, true]) {
      const server = createServer().listen({ port: 0, host: '127.0.0.1', reusePort });
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      await using tiny = await runTiny({ DIPTYCH_THREADS_COUNT: '2', DIPTYCH_HTTP_PORT: String(port) }, program);
      expect([tiny.exit, tiny.stderr]).toEqual([{ code: 2, signal: null }, expect.stringContaining('is in use')]);
      server.close();
    }
  });
});

/** Which threads answer on fresh connections. */
async function threadsBehind(url: string, connections: number): Promise<Set<string>> {
  return new Set(await Promise.all(Array.from({ length: connections }, () => onItsOwn(`${url}/do/who`))));
}

/** Requests under way, on connections enough that every thread has some. Undefined for one that was cut off. */
async function slowInAll(tiny: RunningProcess): Promise<Promise<string | undefined>[]> {
  const slow = Array.from({ length: 30 }, () => onItsOwn(`${urlOf(tiny)}/do/slow`).catch(() => undefined));
  await waitFor(() => eventsOf(tiny).filter((event) => event === 'slow begun').length === slow.length, { timeoutMs: 60_000 });
  return slow;
}

function onItsOwn(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: new Agent({ keepAlive: false }) }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () => resolve(text)).on('error', reject);
    });
    request.on('error', reject);
  });
}
