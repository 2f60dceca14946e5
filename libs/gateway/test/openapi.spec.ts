import { Compile } from 'typebox/compile';
import type { TSchema } from 'typebox';
import { connect } from 'node:net';
import { once } from 'node:events';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { DiptychError, type ErrorCode } from '@diptych/kernel';
import { ApiKeys } from '../src/api-key.js';
import { methodsOf } from '../src/dispatch.js';
import { openApiDocument } from '../src/openapi.js';
import { OPERATIONS, PATHS } from '../src/operations.js';
import { serve, type Answer, type SendOptions } from './serve.js';

interface DescribedOperation {
  readonly operationId: string;
  readonly responses: Record<
    string,
    { headers?: Record<string, { schema: TSchema }>; content?: Record<string, { schema: { $ref?: string } }> }
  >;
}

const document = openApiDocument();
const described = new Map<string, DescribedOperation>();
for (const [path, operations] of Object.entries(document.paths)) {
  for (const [method, operation] of Object.entries(operations))
    described.set(`${method.toUpperCase()} ${path}`, operation as DescribedOperation);
}
const schemas = new Map(
  Object.entries(document.components.schemas).map(([name, schema]) => [`#/components/schemas/${name}`, Compile(schema)]),
);

/** What each operation was seen to answer. */
const seen = new Map<string, Set<string>>();

/** Holds an answer against what the document says of it. */
function check(operation: string, answer: Answer): void {
  const response = described.get(operation)!.responses[answer.status];
  expect(response, `${operation} answered ${answer.status}, which the document does not know`).toBeDefined();
  seen.set(operation, (seen.get(operation) ?? new Set()).add(String(answer.status)));
  for (const [name, { schema }] of Object.entries(response!.headers ?? {})) {
    const value = answer.headers[name.toLowerCase()];
    // What the log could not be asked for after a refused write is left out.
    if (value === undefined && answer.status >= 400) continue;
    expect(
      Compile(schema).Check((schema as { type?: string }).type === 'integer' ? Number(value) : value),
      `${operation} ${answer.status} ${name}: ${value}`,
    ).toBe(true);
  }
  const type = answer.headers['content-type'];
  if (answer.body.length === 0) return;
  const content = response!.content?.[type!] ?? response!.content?.['*/*'];
  expect(content, `${operation} ${answer.status} sent ${type}`).toBeDefined();
  const schema = schemas.get(content!.schema.$ref ?? '');
  if (schema) expect([...schema.Errors(answer.json())]).toEqual([]);
}

const OF_READS: readonly ErrorCode[] = [
  'INVALID_REQUEST',
  'OVERLOADED',
  'CIRCUIT_OPEN',
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'CONNECTION_LOST',
  'CANCELLED',
  'INTERNAL',
];
const OF_WRITES: readonly ErrorCode[] = [...OF_READS, 'CONFLICT', 'TOO_LARGE', 'STORAGE_FULL'];

describe('the OpenAPI document', () => {
  const instances = new Map([
    ['/v1/keys/{key}', '/v1/keys/a'],
    ['/v1/keys', '/v1/keys'],
    ['/v1/report', '/v1/report'],
    ['/openapi.json', '/openapi.json'],
  ]);

  it('is served as it is', async () => {
    const { send } = await serve();
    const { headers, json } = await send('GET', '/openapi.json');
    expect(headers['content-type']).toBe('application/json');
    expect(json()).toEqual(JSON.parse(JSON.stringify(document)));
  });

  it('has every route, and no other', () => {
    const served = OPERATIONS.map(({ method, resource }) => `${method} ${PATHS[resource]}`);
    expect([...described.keys()].sort()).toEqual([...served].sort());
    for (const { resource } of OPERATIONS)
      expect(methodsOf(resource).every((method) => described.has(`${method} ${PATHS[resource]}`))).toBe(true);
    expect(new Set([...described.values()].map(({ operationId }) => operationId)).size).toBe(described.size);
    for (const key of instances.keys()) expect(document.paths).toHaveProperty([key]);
  });

  it('gives each operation parameters that are unique, and refers to nothing that is not there', () => {
    const text = JSON.stringify(document);
    for (const [, reference] of text.matchAll(/"\$ref":"([^"]+)"/g)) expect(schemas.has(reference!), reference).toBe(true);
    for (const operation of described.values()) {
      const names = (operation as unknown as { parameters: Array<{ in: string; name: string }> }).parameters.map(
        (parameter) => `${parameter.in} ${parameter.name}`,
      );
      expect(new Set(names).size).toBe(names.length);
    }
  });

  describe('knows every answer', () => {
    beforeAll(() => seen.clear());

    it.each([...described.keys()])('%s: errors of the ports', async (operation) => {
      const [method, path] = operation.split(' ') as [string, string];
      const { send, log } = await serve();
      for (const code of method === 'PUT' || method === 'DELETE' ? OF_WRITES : OF_READS) {
        log.failures.length = 0;
        log.failures.push(new DiptychError(code, 'x'));
        check(operation, await send(method, instances.get(path)!));
      }
    });

    it.each([...described.keys()])('%s: without a key, with too many in flight, with a bad query', async (operation) => {
      const [method, path] = operation.split(' ') as [string, string];
      const target = instances.get(path)!;
      const locked = await serve({ apiKeys: new ApiKeys(['x'.repeat(16)]) });
      check(operation, await locked.send(method, target));
      const full = await serve({ inFlightMax: 0 });
      check(operation, await full.send(method, target));
      const { send } = await serve();
      check(operation, await send(method, `${target}?unknown=1`));
      if (path !== '/openapi.json')
        check(
          operation,
          await send(method, path === '/v1/keys/{key}' ? `/v1/keys/${'x'.repeat(1025)}` : `${target}?prefix=${'x'.repeat(1025)}`),
        );
    });

    it('reads and writes', async () => {
      const { send, raw } = await serve();
      const key = async (method: string, options?: SendOptions) =>
        check(`${method} /v1/keys/{key}`, await send(method, '/v1/keys/a', options));
      for (const method of ['GET', 'HEAD', 'DELETE']) {
        await key(method);
        await key(method, { headers: { 'if-match': '*' } });
      }
      await key('PUT', { body: '1' });
      await key('PUT', { body: '2' });
      await key('PUT', { headers: { 'if-none-match': '*' } });
      await key('PUT', { headers: { 'content-encoding': 'gzip' } });
      for (const method of ['GET', 'HEAD']) {
        await key(method);
        await key(method, { headers: { 'if-none-match': '*' } });
        for (const path of ['/v1/keys', '/v1/report', '/openapi.json']) {
          check(`${method} ${path}`, await send(method, path));
          if (path !== '/v1/keys') check(`${method} ${path}`, await send(method, path, { headers: { 'if-none-match': '*' } }));
        }
      }
      await key('DELETE');
      const late = await raw('PUT /v1/keys/a HTTP/1.1\r\nHost: x\r\nDiptych-Timeout-Ms: 10\r\nContent-Length: 5\r\n\r\n');
      expect(late).toMatch(/^HTTP\/1.1 408 /);
      seen.get('PUT /v1/keys/{key}')!.add('408');
    });

    it('and no answer that was not given', () => {
      for (const [operation, { responses }] of described)
        expect([...(seen.get(operation) ?? [])].sort(), operation).toEqual(Object.keys(responses).sort());
    });
  });
});

describe('the metric', () => {
  it('counts by operation and status, in the shape prom-client reads', async () => {
    const { send, gateway, port } = await serve();
    await send('PUT', '/v1/keys/a');
    await send('GET', '/v1/keys/a');
    await send('GET', '/v1/keys/a');
    await send('POST', '/v1/keys/a');
    const socket = connect(port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    await once(socket, 'connect');
    socket.write('GET /v1/keys/b HTTP/1.1\r\nHost: x\r\n\r\n');
    await vi.waitFor(() => expect(gateway.meter.count('getKey', 404)).toBe(1));
    const { name, type, values } = await gateway.meter.metric().get();
    expect(type).toBe('histogram');
    const counts = values
      .filter(({ metricName }) => metricName === `${name}_count`)
      .map(({ labels, value }) => [labels['operation'], labels['status'], value]);
    expect(counts).toEqual(
      expect.arrayContaining([
        ['putKey', 201, 1],
        ['getKey', 200, 2],
        ['getKey', 404, 1],
        ['none', 405, 1],
      ]),
    );
    expect(values.filter(({ labels }) => labels['le'] === '+Inf').reduce((sum, { value }) => sum + value, 0)).toBe(5);
  });
});
