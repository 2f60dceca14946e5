import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { tempDir } from '@diptych/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readHistory } from '../durability.js';
import { generate, writeHistory, type Window } from './generator.js';
import type { LoadPlan } from './schedule.js';
import { summarize } from './summary.js';

let server: Server;
let answers: boolean;
const written = new Set<string>();

beforeEach(async () => {
  answers = true;
  server = createServer((request, response) => {
    if (!answers) return;
    if (request.method !== 'PUT') return void response.end(`${request.url!.slice('/v1/keys/'.length)}|`);
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => (written.add(body.split('|')[1]!), response.writeHead(204).end()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const planOf = (id: string): LoadPlan => ({
  id,
  baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
  seed: 5,
  seconds: 0.6,
  ratePerSecond: 200,
  streams: [
    { capability: 'hit', share: 1, keys: { kind: 'uniform', prefix: 'k', count: 10 } },
    { capability: 'put', share: 1, keys: { kind: 'uniform', prefix: 'k', count: 10 } },
  ],
  valueBytes: 32,
  timeoutMs: 5_000,
  connections: 256,
  mode: 'open',
  windowSeconds: 0.2,
});

it('tells of each window while it runs, and two plans of one seed write values that differ', async () => {
  const windows: Window[] = [];
  const plan = planOf('first');
  const recording = await generate(plan, undefined, (window) => windows.push(window));
  await generate(planOf('second'));
  expect(windows.length).toBeGreaterThanOrEqual(2);
  // On a busy machine one window may be over before anything of it was sent.
  const used = windows.filter(({ good }) => good > 0);
  expect(used.length).toBeGreaterThan(0);
  expect(used.every(({ p50Ms }) => p50Ms > 0)).toBe(true);
  const result = summarize(plan, recording);
  expect(result.good).toBe(result.offered);
  expect(new Set([...written].map((id) => id.split('-')[0]))).toEqual(new Set(['first', 'second']));
});

it('ends when there is enough, with all that was sent answered', async () => {
  const enough = new AbortController();
  const plan = { ...planOf('enough'), seconds: 600 };
  const result = summarize(plan, await generate(plan, undefined, () => enough.abort(), undefined, enough.signal));
  expect(result.offered).toBeGreaterThan(0);
  expect(result.outcomes).toMatchObject({ good: result.offered, pending: expect.any(Number), reset: 0, timeout: 0 });
});

it('keeps in its history what was sent when it was ended, which may have happened, and not what was not', async () => {
  answers = false;
  const stop = new AbortController();
  const plan = planOf('third');
  const recording = await generate(plan, stop.signal, () => stop.abort());
  const dir = await tempDir('diptych-lab-');
  try {
    const file = join(dir.path, 'history.jsonl.gz');
    await writeHistory(file, plan, recording);
    const history = await readHistory(file);
    expect(history.length).toBeGreaterThan(0);
    expect(history.length).toBeLessThan(recording.schedule.length);
    // Its end closes the connections, which some of them may have noticed by now.
    for (const { outcome } of history) expect(['pending', 'reset', 'unsent']).toContain(outcome);
    expect(history.every(({ sent }) => sent !== null)).toBe(true);
  } finally {
    await dir.remove();
  }
});
