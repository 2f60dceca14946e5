import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startApp } from '@diptych/host';
import { assertNoLeaks, openHandles, tempDir } from '@diptych/testing';
import type { DynamicModule } from '@nestjs/common';
import { expect, it } from 'vitest';
import { put, valueOf } from '../test/log-fixture.js';
import type { LogPort } from './index.js';
import { LOG_PORT, LogModule } from './index.js';

let port: LogPort | undefined;

const appModule: DynamicModule = {
  module: class AppModule {},
  imports: [LogModule.inProcess()],
  providers: [{ provide: 'capture', inject: [LOG_PORT], useFactory: (log: LogPort) => (port = log) }],
};

function start(directory: string, variables: Record<string, string> = {}) {
  const fixed = { DIPTYCH_HTTP_PORT: '0', DIPTYCH_TELEMETRY_LEVEL: 'silent', DIPTYCH_LOG_DATA_DIR: directory };
  return startApp(appModule, { name: 'test', httpPort: 0, variables: { ...fixed, ...variables } });
}

it.each([
  ['DIPTYCH_LOG_DEDUPE_COUNT', '0'],
  ['DIPTYCH_LOG_DEDUPE_MS', '0'],
])('refuses %s=%s: its callers are told that an append is safe to repeat', async (name, value) => {
  await using directory = await tempDir('diptych-log-');
  await expect(start(directory.path, { [name]: value })).rejects.toThrow(name);
});

it('provides the log from its settings, says how it is, and leaves nothing behind', async () => {
  await using directory = await tempDir('diptych-log-');
  const before = openHandles();
  const first = await start(directory.path, { DIPTYCH_LOG_REPORT_MODE: 'worker', DIPTYCH_LOG_CHANNEL_CAPACITY: '16' });
  await put(port!, 'a', '1');
  const ready = await fetch(`${first.url}/health/ready`);
  expect(ready.status).toBe(200);
  const metrics = await (await fetch(`${first.url}/metrics`)).text();
  expect(metrics).toMatch(/^diptych_log_appends_total 1$/m);
  expect(metrics).toMatch(/^diptych_log_keys 1$/m);
  expect(metrics).toMatch(/^diptych_log_writable 1$/m);
  expect(metrics).toMatch(/diptych_port_call_duration_seconds_count\{.*port="log",method="append".*code="OK".*\} 1/);
  await first.close();
  const second = await start(directory.path);
  expect(await valueOf(port!, 'a')).toBe('1');
  await second.close();
  await assertNoLeaks(before);
});

it('finishes what was accepted when the app stops', async () => {
  await using directory = await tempDir('diptych-log-');
  const app = await start(directory.path);
  const appends = Array.from({ length: 200 }, (_, i) => put(port!, `k${i}`, 'v'));
  await app.close();
  await Promise.all(appends);
  const again = await start(directory.path);
  expect(await valueOf(port!, 'k199')).toBe('v');
  await again.close();
});

it('does not start on a directory in use, or on one that is not a log', async () => {
  await using directory = await tempDir('diptych-log-');
  const app = await start(directory.path);
  await expect(start(directory.path)).rejects.toThrow(/in use by another process/);
  await app.close();
  const foreign = join(directory.path, 'foreign');
  mkdirSync(foreign);
  writeFileSync(join(foreign, 'notes.txt'), '');
  await expect(start(foreign)).rejects.toThrow(/holds notes\.txt/);
});

it.each([
  ['DIPTYCH_LOG_SEGMENT_BYTES', '1'],
  ['DIPTYCH_LOG_REPORT_MODE', 'sometimes'],
  ['DIPTYCH_LOG_DATADIR', '/tmp'],
])('does not start with a bad setting: %s=%s', async (name, value) => {
  await using directory = await tempDir('diptych-log-');
  await expect(start(directory.path, { [name]: value })).rejects.toThrow(name);
});
