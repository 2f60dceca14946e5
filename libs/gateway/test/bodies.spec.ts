import { connect } from 'node:net';
import { once } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { serve } from './serve.js';

const PUT = 'PUT /v1/keys/a HTTP/1.1\r\nHost: x\r\n';
const chunk = (bytes: number) => `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`;

describe('a body that is too large', () => {
  it('is refused by its announced length, before it is sent', async () => {
    const { raw, log, gateway } = await serve();
    const answer = await raw(`${PUT}Content-Length: 1000001\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1.1 413 /);
    expect(answer).toMatch(/connection: close/i);
    expect(answer).toContain('"code":"TOO_LARGE"');
    expect(log.revision).toBe(0);
    expect(gateway.inFlight).toBe(0);
  });

  it('is refused to a client that sends all of it before it listens', async () => {
    const { port, log } = await serve();
    const socket = connect(port, '127.0.0.1');
    socket.pause();
    // Closing with unread data resets the connection, and an answer that was not read by then is lost.
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.write(`${PUT}Content-Length: 6000000\r\n\r\n`);
      socket.write(Buffer.alloc(6_000_000), (error) => (error ? reject(error) : resolve()));
    });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk)).resume();
    await once(socket, 'close');
    expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1.1 413 [^]*"code":"TOO_LARGE"/);
    expect(log.revision).toBe(0);
  });

  it('is refused while it comes in, when nothing announced it', async () => {
    const { raw, log, gateway } = await serve();
    const answer = await raw(`${PUT}Transfer-Encoding: chunked\r\n\r\n`, ...Array.from({ length: 11 }, () => chunk(100_000)), '0\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1.1 413 /);
    expect(log.revision).toBe(0);
    expect(gateway.bodyBudget.bytes).toBe(0);
  });

  it('may be exactly as large as the bound in chunks', async () => {
    const { raw, log } = await serve();
    const answer = await raw(
      `${PUT}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n`,
      ...Array.from({ length: 10 }, () => chunk(100_000)),
      '0\r\n\r\n',
    );
    expect(answer).toMatch(/^HTTP\/1.1 201 /);
    expect(log.entries.get('a')!.value).toHaveLength(1_000_000);
  });
});

describe('a slow or broken body', () => {
  it('is 408 at the deadline, and definite', async () => {
    const { raw, log, gateway } = await serve({ requestTimeoutMs: 50 });
    const answer = await raw(`${PUT}Content-Length: 5\r\n\r\nab`);
    expect(answer).toMatch(/^HTTP\/1.1 408 /);
    expect(answer).toMatch(/connection: close/i);
    expect(answer).toContain('"code":"DEADLINE_EXCEEDED"');
    expect(answer).toContain('"definite":true');
    expect(log.revision).toBe(0);
    expect(gateway.bodyBudget.bytes).toBe(0);
  });

  it('is 408 at the deadline of the client, when that is sooner', async () => {
    const { raw } = await serve();
    expect(await raw(`${PUT}Diptych-Timeout-Ms: 20\r\nContent-Length: 5\r\n\r\nab`)).toMatch(/^HTTP\/1.1 408 /);
  });

  it('changes nothing when the client goes away in the middle', async () => {
    const { port, log, gateway } = await serve();
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(`${PUT}Content-Length: 100\r\n\r\nab`);
    await vi.waitFor(() => expect(gateway.bodyBudget.bytes).toBe(2));
    socket.destroy();
    await vi.waitFor(() => expect(gateway.meter.count('putKey', 499)).toBe(1));
    expect(log.revision).toBe(0);
    expect(gateway.inFlight).toBe(0);
    expect(gateway.bodyBudget.bytes).toBe(0);
  });

  it.each([
    ['lengths that disagree', 'Content-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['a length and chunks', 'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a length below nothing', 'Content-Length: -1\r\n\r\n'],
    ['a broken chunk', 'Transfer-Encoding: chunked\r\n\r\nzz\r\n'],
    ['a broken header', 'Content Length: 1\r\n\r\na'],
  ])('%s: 400, nothing changed', async (_, rest) => {
    const { raw, log, gateway } = await serve();
    const answer = await raw(`${PUT}${rest}`);
    expect(answer).toMatch(/^(HTTP\/1.1 400 |$)/);
    expect(log.revision).toBe(0);
    await vi.waitFor(() => expect(gateway.inFlight).toBe(0));
  });
});

describe('Expect: 100-continue', () => {
  it('is answered when the body is wanted', async () => {
    const { port, log } = await serve();
    const socket = connect(port, '127.0.0.1');
    socket.write(`${PUT}Connection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n`);
    const [first] = (await once(socket, 'data')) as [Buffer];
    expect(first.toString()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    socket.write('ab');
    const [second] = (await once(socket, 'data')) as [Buffer];
    expect(second.toString()).toMatch(/^HTTP\/1.1 201 /);
    socket.destroy();
    expect(Buffer.from(log.entries.get('a')!.value).toString()).toBe('ab');
  });

  it.each([
    ['Content-Length: 1000001', 413],
    ['If-Match: nonsense\r\nContent-Length: 2', 400],
    ['Content-Encoding: gzip\r\nContent-Length: 2', 415],
  ])('is refused with the final answer when it is not: %s', async (headers, status) => {
    const { raw } = await serve();
    const answer = await raw(`${PUT}Expect: 100-continue\r\n${headers}\r\n\r\n`);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer).toMatch(/connection: close/i);
  });

  it('other expectations are 417', async () => {
    const { raw } = await serve();
    const answer = await raw(`${PUT}Connection: close\r\nExpect: something\r\nContent-Length: 0\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1.1 417 /);
    expect(answer).toContain('application/problem+json');
  });
});

describe('bounds', () => {
  it('one request more than may be in flight is 503 at once, with Retry-After', async () => {
    const { send, log, gateway } = await serve({ inFlightMax: 2 });
    const { promise, resolve } = Promise.withResolvers<void>();
    log.gate = promise;
    const waiting = [send('GET', '/v1/keys/a'), send('PUT', '/v1/keys/a', { body: 'x' })];
    await vi.waitFor(() => expect(log.contexts).toHaveLength(2));
    const refused = await send('GET', '/v1/keys/a');
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    expect(refused.json()).toMatchObject({ code: 'OVERLOADED', definite: true });
    resolve();
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([404, 201]);
    expect((await send('GET', '/v1/keys/a')).status).toBe(200);
    expect(gateway.inFlight).toBe(0);
  });

  it('more bytes of bodies than may be held are 503', async () => {
    const { send, gateway, log } = await serve({ bodyBytesMax: 10 });
    expect((await send('PUT', '/v1/keys/a', { body: 'x'.repeat(11) })).status).toBe(503);
    expect((await send('PUT', '/v1/keys/a', { body: 'x'.repeat(10) })).status).toBe(201);
    expect((await send('PUT', '/v1/keys/a', { body: 'x'.repeat(10) })).status).toBe(204);
    expect(gateway.bodyBudget.bytes).toBe(0);
    expect(log.revision).toBe(2);
  });
});

describe('headers of a write', () => {
  it.each([
    ['control characters in the content type', 'Content-Type: a\tb', 400],
    ['other bytes in the content type', 'Content-Type: a\xe9', 400],
    ['two content types', 'Content-Type: a\r\nContent-Type: b', 400],
    ['a content type of 257 bytes', `Content-Type: ${'x'.repeat(257)}`, 400],
    ['a content encoding', 'Content-Encoding: gzip', 415],
    ['a part', 'Content-Range: bytes 0-1/2', 400],
    ['no time', 'Diptych-Timeout-Ms: 0', 400],
    ['time below nothing', 'Diptych-Timeout-Ms: -1', 400],
    ['time that is no number', 'Diptych-Timeout-Ms: soon', 400],
    ['two times', 'Diptych-Timeout-Ms: 5\r\nDiptych-Timeout-Ms: 6', 400],
  ])('%s', async (_, header, status) => {
    const { raw, log } = await serve();
    const answer = await raw(Buffer.from(`${PUT}Connection: close\r\n${header}\r\nContent-Length: 2\r\n\r\nab`, 'latin1'));
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer).toContain('application/problem+json');
    expect(log.revision).toBe(0);
  });

  it('an encoding that is none is fine', async () => {
    const { send } = await serve();
    expect((await send('PUT', '/v1/keys/a', { headers: { 'content-encoding': 'identity', 'content-type': '' } })).status).toBe(201);
  });
});

describe('a connection', () => {
  it('goes on after a refusal whose body is short', async () => {
    const { raw, log } = await serve();
    const answer = await raw(
      `${PUT}If-Match: nonsense\r\nContent-Length: 2\r\n\r\nab`,
      `${PUT}Connection: close\r\nContent-Length: 2\r\n\r\ncd`,
    );
    expect(answer.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 400', 'HTTP/1.1 201']);
    expect(log.revision).toBe(1);
  });

  it('takes requests one behind the other and answers in their order', async () => {
    const { raw } = await serve();
    const requests = Array.from({ length: 20 }, (_, i) => `PUT /v1/keys/k${i} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n${i % 10}`);
    const reads = Array.from(
      { length: 20 },
      (_, i) => `GET /v1/keys/k${i} HTTP/1.1\r\nHost: x\r\n${i === 19 ? 'Connection: close\r\n' : ''}\r\n`,
    );
    const answer = await raw([...requests, ...reads].join(''));
    expect(answer.match(/HTTP\/1.1 \d+/g)).toEqual([...Array<string>(20).fill('HTTP/1.1 201'), ...Array<string>(20).fill('HTTP/1.1 200')]);
    const values = [...answer.matchAll(/nosniff\r\n(?:[^\r]+\r\n)*\r\n(\d)/g)].map(([, digit]) => Number(digit));
    expect(values).toEqual(Array.from({ length: 20 }, (_, i) => i % 10));
  });

  it('that ends cancels the call of its request', async () => {
    const { port, log, gateway } = await serve();
    const { promise, resolve } = Promise.withResolvers<void>();
    log.gate = promise;
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /v1/keys/a HTTP/1.1\r\nHost: x\r\n\r\n');
    await vi.waitFor(() => expect(log.contexts).toHaveLength(1));
    expect(log.contexts[0]!.signal!.aborted).toBe(false);
    socket.destroy();
    await vi.waitFor(() => expect(log.contexts[0]!.signal!.aborted).toBe(true));
    resolve();
    await vi.waitFor(() => expect(gateway.meter.count('getKey', 499)).toBe(1));
    expect(gateway.inFlight).toBe(0);
  });
});
