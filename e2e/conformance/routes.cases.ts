import { describe, expect, it } from 'vitest';
import { expectProblem } from '../support/problem.js';
import { exchange } from '../support/raw-http.js';
import { headOfLog } from './reading.js';
import type { Subject } from './subject.js';

export function routeCases(subject: () => Subject): void {
  describe('routes', () => {
    it.each([
      '/',
      '/v1',
      '/v1/',
      '/v2/keys/a',
      '/v1/key/a',
      '/v1/reports',
      '/keys/a',
      '/health',
      '/health/dead',
      '/v1/report/x',
      '/favicon.ico',
      '//',
      '/%2e%2e/v1/keys/a',
      '/..',
      '/v1/../v1/keys',
      '/%ff',
      '/%zz',
      '/%',
    ])('knows no %s', async (path) => {
      const answer = await subject().http.send('GET', path);
      if (answer.status === 400) expectProblem(answer, 400, 'INVALID_REQUEST');
      else expectProblem(answer, 404, 'INVALID_REQUEST');
    });

    it.each([
      ['POST', '/v1/keys/a', ['GET', 'HEAD', 'PUT', 'DELETE']],
      ['PATCH', '/v1/keys/a', ['GET', 'HEAD', 'PUT', 'DELETE']],
      ['OPTIONS', '/v1/keys/a', ['GET', 'HEAD', 'PUT', 'DELETE']],
      ['TRACE', '/v1/keys/a', ['GET', 'HEAD', 'PUT', 'DELETE']],
      ['POST', '/v1/keys', ['GET']],
      ['DELETE', '/v1/keys', ['GET']],
      ['PUT', '/v1/report', ['GET']],
      ['DELETE', '/v1/report', ['GET']],
      ['POST', '/health/live', ['GET']],
      ['PUT', '/health/ready', ['GET']],
      ['POST', '/metrics', ['GET']],
      ['DELETE', '/openapi.json', ['GET']],
    ])('refuses %s %s and says what is allowed', async (method, path, allowed) => {
      const before = await headOfLog(subject());
      const request = `${method} ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n`;
      const answer = await exchange(subject().origin, request);
      expectProblem(answer, 405, 'INVALID_REQUEST');
      const allow = (answer.headers['allow'] ?? '').split(',').map((name) => name.trim());
      for (const name of allowed) expect(allow).toContain(name);
      expect(allow).not.toContain(method);
      expect(await headOfLog(subject())).toBe(before);
    });

    it.each([
      ['POST', '{"a":1}', 'application/json'],
      ['POST', '{broken', 'application/json'],
      ['PATCH', 'x', 'image/png'],
      ['PROPFIND', '', 'text/xml'],
      ['QUERY', '', 'text/plain'],
    ])('a wrong method is refused whatever it carries: %s %s (%s)', async (method, body, type) => {
      const answer = await exchange(
        subject().origin,
        `${method} /v1/keys/a HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
      expectProblem(answer, 405, 'INVALID_REQUEST');
      expect(answer.headers['allow']).toContain('PUT');
    });

    it('a GET and a DELETE may carry a body nobody asked for', async () => {
      const { origin, http, prefix } = subject();
      for (const method of ['GET', 'DELETE']) {
        const answer = await exchange(
          origin,
          `${method} /v1/keys/body-of-${method} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{x`,
        );
        expect([400, 404], answer.text).toContain(answer.status);
        expectProblem(answer, answer.status, answer.status === 404 ? 'NOT_FOUND' : 'INVALID_REQUEST');
      }
      expect((await http.get(prefix())).status).toBe(404);
    });

    it('is alive and ready, and says so', async () => {
      for (const path of ['/health/live', '/health/ready']) {
        const answer = await subject().http.send('GET', path);
        expect(answer.status, answer.text).toBe(200);
      }
    });

    it('serves metrics in the text format of Prometheus', async () => {
      const answer = await subject().http.send('GET', '/metrics');
      expect(answer.status).toBe(200);
      expect(answer.headers['content-type']).toMatch(/^text\/plain\b/);
      expect(answer.text).toMatch(/^# TYPE \S+ (counter|gauge|histogram|summary)$/m);
      for (const line of answer.text.split('\n')) expect(line).toMatch(/^(#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? \S+( \d+)?|)$/);
    });

    it('serves its own description', async () => {
      const answer = await subject().http.send('GET', '/openapi.json');
      expect(answer.status).toBe(200);
      expect(answer.headers['content-type']).toMatch(/^application\/(json|openapi\+json|vnd\.oai\.openapi\+json)\b/);
      const document = answer.json<{ openapi: string; paths: Record<string, Record<string, { responses: Record<string, unknown> }>> }>();
      expect(document.openapi).toMatch(/^3\.[01]\./);
      expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(['/v1/keys', '/v1/keys/{key}', '/v1/report']));
      expect(Object.keys(document.paths['/v1/keys/{key}']!)).toEqual(expect.arrayContaining(['get', 'head', 'put', 'delete']));
      const put = document.paths['/v1/keys/{key}']!['put']!.responses;
      for (const status of ['201', '204', '400', '412', '413']) expect(put, status).toHaveProperty(status);
    });
  });
}
