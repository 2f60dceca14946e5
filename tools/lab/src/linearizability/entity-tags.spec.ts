import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { seedFromEnv } from '@diptych/testing';
import { expect, it } from 'vitest';
import { EntityTags } from './entity-tags.js';
import { runWorkload } from './workload.js';

it('keeps one tag a key, however many values come and go, and knows no older one', () => {
  const tags = new EntityTags();
  for (let value = 0; value < 1_000; value++) tags.note(`key ${value % 3}`, value, `"${value}"`);
  expect([tags.size, tags.valueUnder('key 0'), tags.tagOf('key 0', 999), tags.valueUnder('none')]).toEqual([3, 999, '"999"', undefined]);
  expect(() => tags.tagOf('key 0', 996)).toThrow('not known any more');
});

it('gives the workload the tag of what was put last to name in its conditions', async () => {
  const values = new Map<string, { body: string; tag: string }>();
  const conditions = { held: 0, failed: 0 };
  let tagsGiven = 0;
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const held = values.get(request.url!);
    const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = request.headers;
    const answer = (status: number, body = '') => response.writeHead(status, { etag: values.get(request.url!)?.tag ?? '' }).end(body);
    if (request.method === 'GET') return held ? answer(200, held.body) : answer(404);
    const holds = (!ifNoneMatch || !held) && (!ifMatch || (held !== undefined && (ifMatch === '*' || ifMatch === held.tag)));
    if (ifMatch?.startsWith('"')) conditions[holds ? 'held' : 'failed']++;
    if (!holds) return answer(412);
    if (request.method === 'DELETE') return (values.delete(request.url!), answer(held ? 204 : 404));
    values.set(request.url!, { body: Buffer.concat(chunks).toString(), tag: `"${++tagsGiven}"` });
    return answer(held ? 204 : 201);
  };
  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const subject = { url, crash: () => Promise.resolve() };
    const options = { operations: 3_000, crashes: 0, seed: seedFromEnv(), signal: new AbortController().signal };
    const { counts } = await runWorkload(subject, options);
    expect([counts.unknown, counts.refused, conditions.failed > 0, conditions.held > 0]).toEqual([0, 0, true, true]);
  } finally {
    server.close();
  }
});
