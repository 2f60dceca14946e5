import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CACHE_PORT } from '@diptych/cache';
import { startApp, type RunningApp } from '@diptych/host';
import { LOG_PORT } from '@diptych/log';
import type { DynamicModule } from '@nestjs/common';
import { describe, expect, it, onTestFinished } from 'vitest';
import { GatewayModule } from '../src/gateway.module.js';
import { FakeCache, FakeLog } from './fakes.js';
import { send } from './serve.js';

const KEY = 'a-key-of-sixteen-or-more';

/** The gateway's own module over fakes, as an app has it. */
async function start(variables: Record<string, string> = {}): Promise<RunningApp & { port: number }> {
  class Ports {}
  class App {}
  const log = new FakeLog();
  const ports: DynamicModule = {
    module: Ports,
    global: true,
    providers: [
      { provide: LOG_PORT, useValue: log },
      { provide: CACHE_PORT, useValue: new FakeCache(log) },
    ],
    exports: [LOG_PORT, CACHE_PORT],
  };
  const app = await startApp(
    { module: App, imports: [ports, GatewayModule.http()] },
    { name: 'gateway-test', httpPort: 0, variables: { DIPTYCH_TELEMETRY_LEVEL: 'fatal', DIPTYCH_HTTP_DRAIN_MS: '200', ...variables } },
  );
  onTestFinished(() => app.close());
  return Object.assign(app, { port: Number(new URL(app.url).port) });
}

function keyFile(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'diptych-gateway-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'keys');
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

describe('GatewayModule.http()', () => {
  it('serves the table beside what the host serves, and counts into its metrics', async () => {
    const { port } = await start();
    expect((await send(port, 'PUT', '/v1/keys/a', { body: 'x' })).status).toBe(201);
    expect((await send(port, 'GET', '/v1/keys/a')).body.toString()).toBe('x');
    expect((await send(port, 'GET', '/health/ready')).status).toBe(200);
    expect((await send(port, 'POST', '/health/ready', { body: '{', headers: { 'content-type': 'un/known' } })).status).toBe(405);
    const metrics = (await send(port, 'GET', '/metrics')).body.toString();
    expect(metrics).toContain('diptych_http_request_duration_seconds_count{operation="getKey",status="200"} 1');
    expect(metrics).toContain('diptych_http_request_duration_seconds_bucket{le="+Inf",operation="putKey",status="201"} 1');
  });

  it('asks for the keys of the setting and of the file', async () => {
    const file = keyFile(`# the lab\nanother-key-0000\n`);
    const { port } = await start({ DIPTYCH_GATEWAY_API_KEY: KEY, DIPTYCH_GATEWAY_API_KEYS_FILE: file });
    const status = async (key?: string) =>
      (await send(port, 'GET', '/v1/keys', key ? { headers: { authorization: `Bearer ${key}` } } : {})).status;
    expect(await status()).toBe(401);
    expect(await status('no-key-of-this-gateway')).toBe(401);
    expect(await status(KEY)).toBe(200);
    expect(await status('another-key-0000')).toBe(200);
  });

  it('does not start where strangers can come in, unless that is said to be meant or a key is asked for', async () => {
    const open = { DIPTYCH_HTTP_HOST: '0.0.0.0' };
    await expect(start(open)).rejects.toThrow(
      /^the gateway would listen on 0\.0\.0\.0, .* without an API key; set DIPTYCH_GATEWAY_API_KEY /,
    );
    await start({ ...open, DIPTYCH_GATEWAY_ALLOW_ANONYMOUS: 'true' });
    await start({ ...open, DIPTYCH_GATEWAY_API_KEY: KEY });
  });

  it.each([
    [
      'a weak key',
      { DIPTYCH_GATEWAY_API_KEY: 'weak-secret' },
      /^DIPTYCH_GATEWAY_API_KEY is set to a value that is not shown; it must be 16 or more/,
    ],
    [
      'a key that cannot be sent',
      { DIPTYCH_GATEWAY_API_KEY: 'weak secret weak secret' },
      /^DIPTYCH_GATEWAY_API_KEY is set to a value that is not shown/,
    ],
    ['no time', { DIPTYCH_GATEWAY_REQUEST_TIMEOUT_MS: '0' }, /^DIPTYCH_GATEWAY_REQUEST_TIMEOUT_MS is "0"; it must be/],
    [
      'a file that is not there',
      { DIPTYCH_GATEWAY_API_KEYS_FILE: '/nowhere/keys' },
      /^DIPTYCH_GATEWAY_API_KEYS_FILE is "\/nowhere\/keys", which cannot be read/,
    ],
    ['an unknown setting', { DIPTYCH_GATEWAY_API_KEYS: 'x' }, /did you mean DIPTYCH_GATEWAY_API_KEYS?/],
  ])('does not start with %s', async (_, variables: Record<string, string>, message) => {
    const error = await start(variables).catch((error: unknown) => error as Error);
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toMatch(/weak.secret/);
  });

  it.each([
    ['# only a remark\n', /has no key in it$/],
    ['short-secret\n', /cannot be used: API key 1 of 1 must have 16 or more visible ASCII characters$/],
  ])('does not start with a file that holds %j', async (text, message) => {
    const error = await start({ DIPTYCH_GATEWAY_API_KEYS_FILE: keyFile(text) }).catch((error: unknown) => error as Error);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toContain('short-secret');
  });
});
