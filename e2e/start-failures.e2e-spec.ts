import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import {
  freePort,
  type Launcher,
  type NatsServer,
  runToItsEnd,
  startApp,
  startNatsServer,
  tempDir,
  type TempDir,
  WORKSPACE,
} from '@diptych/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HttpClient } from './support/http-client.js';

/*
 * Claim: whatever keeps a process from starting, it says so in one clear sentence on stderr, exits with 2 within seconds, and has
 * overwritten nothing.
 */
const main = (app: string) => `apps/${appOf(app)}/dist/main.js`;
/** `monolith-threads` is the monolith with two. */
const appOf = (arm: string) => arm.replace('-threads', '');
const holders = ['monolith', 'monolith-threads', 'log'] as const;

let dir: TempDir;
let broker: NatsServer;

beforeAll(async () => {
  broker = await startNatsServer();
});

afterAll(async () => {
  await broker?.stop();
});

beforeEach(async () => {
  dir = await tempDir('diptych-start-');
});

afterEach(async () => {
  await dir.remove();
});

describe('a start that cannot succeed', () => {
  it.each(['gateway', 'cache', 'log'])('%s: no NATS', async (app) => {
    const port = await freePort();
    const end = await refuses(app, { DIPTYCH_NATS_URL: `nats://127.0.0.1:${port}`, DIPTYCH_NATS_CONNECT_TIMEOUT_MS: '1000' });
    expect(end.sentence).toMatch(/nats/i);
    expect(end.sentence).toContain(`127.0.0.1:${port}`);
  });

  it('gateway: something on the port of NATS that is no NATS', async () => {
    const server = createServer((socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const end = await refuses('gateway', { DIPTYCH_NATS_URL: `nats://127.0.0.1:${port}`, DIPTYCH_NATS_CONNECT_TIMEOUT_MS: '1000' });
    expect(end.sentence).toMatch(/nats/i);
    server.close();
  });

  it.each(['monolith', 'monolith-threads', 'gateway', 'cache', 'log'])('%s: the port is in use', async (app) => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const end = await refuses(app, { DIPTYCH_HTTP_PORT: String(port) });
    expect(end.sentence).toContain(String(port));
    expect(end.sentence).toMatch(/in use/);
    expect(await readdir(dir.path), 'nothing was touched').toEqual([]);
    server.close();
  });

  it.each([
    ['monolith', 'DIPTYCH_HTTP_PORT', '70000'],
    ['monolith', 'DIPTYCH_HTTP_HOST', '192.0.2.77'],
    ['monolith', 'DIPTYCH_THREADS_COUNT', '65'],
    ['monolith-threads', 'DIPTYCH_HTTP_HOST', '192.0.2.77'],
    ['monolith-threads', 'DIPTYCH_CACHE_ENTRIES_MAX', '0'],
    ['monolith', 'DIPTYCH_LOG_DATADIR', 'a name nearly right'],
    ['gateway', 'DIPTYCH_NATS_URL', 'localhost'],
    ['gateway', 'DIPTYCH_GATEWAY_REQUEST_TIMEOUT_MS', '-1'],
    ['log', 'DIPTYCH_LOG_PARTITIONS', 'none'],
  ])('%s: a bad setting, %s=%s', async (app, variable, value) => {
    const end = await refuses(app, { [variable]: value });
    expect(end.sentence).toContain(variable === 'DIPTYCH_HTTP_HOST' ? value : variable);
    expect(await readdir(dir.path), 'nothing was touched').toEqual([]);
  });

  it.each(['monolith', 'gateway', 'cache', 'log'])('%s: an argument', async (app) => {
    const end = await refuses(app, {}, 1, (command, args) => ({ command, args: [...args, '--port', '80'] }));
    expect(end.sentence).toContain('"--port"');
    expect(await readdir(dir.path), 'nothing was touched').toEqual([]);
  });

  it.each(['monolith', 'gateway', 'cache', 'log'])('%s: a Node that is too old', async (app) => {
    const pretence = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.4.0' } })`;
    const launcher: Launcher = (command, args) => ({ command, args: ['--import', `data:text/javascript,${pretence}`, ...args] });
    const end = await runToItsEnd({ name: app, main: main(app), variables: variables({}), launcher });
    expect(end).toMatchObject({ exit: { code: 2 }, stdout: '', stderr: expect.stringMatching(/^diptych: .*Node 24 .*22\.4\.0.*\n$/) });
  });

  it('monolith: several bad settings, a sentence each', async () => {
    const end = await refuses('monolith', { DIPTYCH_HTTP_PORT: 'x', DIPTYCH_TELEMETRY_LEVEL: 'loud' }, 2);
    expect(end.stderr).toContain('DIPTYCH_HTTP_PORT');
    expect(end.stderr).toContain('DIPTYCH_TELEMETRY_LEVEL');
  });

  it.each(['monolith', 'monolith-threads', 'gateway'])('%s: an address others can reach, and no API key', async (app) => {
    const end = await refuses(app, { DIPTYCH_HTTP_HOST: '0.0.0.0' });
    expect(end.sentence).toContain('DIPTYCH_GATEWAY_API_KEY');
    expect(await readdir(dir.path), 'nothing was touched').toEqual([]);
  });

  it.each(['none', 'empty', 'weak'])('monolith: a file of API keys that is of no use (%s), before the port is opened', async (what) => {
    const path = join(dir.path, 'keys');
    if (what !== 'none') await writeFile(path, what === 'weak' ? 'short' : '# no key');
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    // Had it tried to open the port, it would speak of that.
    const end = await refuses('monolith', { DIPTYCH_GATEWAY_API_KEYS_FILE: path, DIPTYCH_HTTP_PORT: String(port) });
    expect(end.sentence).toContain('DIPTYCH_GATEWAY_API_KEYS_FILE');
    expect(await readdir(dir.path), 'nothing was touched').toEqual(what === 'none' ? [] : ['keys']);
    server.close();
  });
});

describe.each(holders)('a data directory that cannot be used: %s', (app) => {
  const dataDir = () => join(dir.path, 'log');

  it('a file in its place', async () => {
    await writeFile(dataDir(), 'precious');
    const end = await refuses(app, {});
    expect(end.sentence).toContain(dataDir());
    expect(await readFile(dataDir(), 'utf8')).toBe('precious');
  });

  it('a path that goes through a file', async () => {
    await writeFile(dataDir(), 'precious');
    const end = await refuses(app, { DIPTYCH_LOG_DATA_DIR: join(dataDir(), 'deeper') });
    expect(end.sentence).toContain(dataDir());
    expect(await readFile(dataDir(), 'utf8')).toBe('precious');
  });

  it.runIf(process.platform === 'linux')('one that nobody can make, not even root', async () => {
    const end = await refuses(app, { DIPTYCH_LOG_DATA_DIR: '/sys/diptych/log' });
    expect(end.sentence).toContain('/sys/diptych');
  });

  // Node's recursive mkdir would try these again and again, without an end.
  it.runIf(process.platform === 'linux')('one whose parent says that it is not there', async () => {
    const end = await refuses(app, { DIPTYCH_LOG_DATA_DIR: '/proc/diptych' });
    expect(end.sentence).toContain('/proc/diptych');
  });

  it.runIf(process.platform === 'linux')('a relative one, and the working directory is gone', async () => {
    const inDeletedDirectory: Launcher = (command, [script, ...args]) => ({
      command: 'sh',
      args: ['-c', 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"', join(dir.path, 'gone'), command, join(WORKSPACE, script!), ...args],
    });
    const end = await refuses(app, { DIPTYCH_LOG_DATA_DIR: 'data/log' }, 1, inDeletedDirectory);
    expect(end.sentence).toMatch(app === 'monolith-threads' ? /THREADS_COUNT .*working directory/ : /data\/log .*working directory/);
  });

  it('one with something else in it, which stays as it is', async () => {
    await mkdir(dataDir());
    await writeFile(join(dataDir(), 'accounts.ods'), 'precious');
    const end = await refuses(app, {});
    expect(end.sentence).toContain('accounts.ods');
    expect(await readdir(dataDir())).toEqual(['accounts.ods']);
  });

  // Root may read and write everything, so there is nothing to refuse.
  it.skipIf(process.getuid?.() === 0)('one that may not be read', async () => {
    await mkdir(dataDir());
    await chmod(dataDir(), 0o000);
    const end = await refuses(app, {});
    expect(end.sentence).toContain(dataDir());
    await chmod(dataDir(), 0o700);
  });

  it('a second process on it; the first goes on', async () => {
    const first = await startApp({ name: app, main: main(app), variables: variables({}, app) });
    try {
      const end = await refuses(app, {});
      expect(end.sentence).toContain(dataDir());
      expect((await fetch(`${first.url}/health/ready`)).status).toBe(200);
    } finally {
      expect((await first.stop()).code).toBe(0);
    }
    // The lock went with its holder.
    const next = await startApp({ name: app, main: main(app), variables: variables({}, app) });
    expect((await next.stop()).code).toBe(0);
  });

  it('a lock whose holder was killed holds nobody up', async () => {
    const first = await startApp({ name: app, main: main(app), variables: variables({}, app) });
    await first.kill();
    const next = await startApp({ name: app, main: main(app), variables: variables({}, app) });
    expect((await next.stop()).code).toBe(0);
  });

  it.each(app === 'monolith' ? [0.1, 0.9] : [0.5])(
    'a damaged segment (%f of the way through): says where, and overwrites nothing',
    async (where) => {
      await fill(dataDir());
      const { file, offset } = await damage(dataDir(), where);
      const before = await hashOf(dataDir());
      const end = await refuses(app, {});
      expect(end.sentence).toContain(file);
      const named = [...end.sentence.matchAll(/\b(\d+)\b/g)].map((match) => Number(match[1]));
      // The record that holds the flipped byte begins at or before it.
      expect(
        named.some((number) => number <= offset && number > offset - 4_096),
        `${end.sentence} (flipped ${offset})`,
      ).toBe(true);
      expect(await hashOf(dataDir())).toEqual(before);
    },
  );
});

interface Refused {
  readonly stderr: string;
  readonly sentence: string;
}

async function refuses(app: string, settings: Record<string, string>, lines = 1, launcher?: Launcher): Promise<Refused> {
  const end = await runToItsEnd({ name: app, main: main(app), variables: variables(settings, app), launcher });
  const said = end.stderr.split('\n').filter((line) => line !== '');
  expect(end.exit, end.stderr).toEqual({ code: 2, signal: null });
  expect(said, end.stderr).toHaveLength(lines);
  for (const line of said) {
    expect(line).toMatch(new RegExp(`^${appOf(app)}: `));
    expect(line.length).toBeLessThan(500);
    expect(line, 'no stack, and no defect').not.toMatch(/\n\s+at |a defect|\[object/);
  }
  return { stderr: end.stderr, sentence: said[0]! };
}

function variables(settings: Record<string, string>, arm = ''): Record<string, string> {
  const threads: Record<string, string> = arm.endsWith('-threads') ? { DIPTYCH_THREADS_COUNT: '2' } : {};
  return { DIPTYCH_HTTP_PORT: '0', DIPTYCH_NATS_URL: broker.url, DIPTYCH_LOG_DATA_DIR: join(dir.path, 'log'), ...threads, ...settings };
}

/** Some thousand records, and a clean end. */
async function fill(dataDir: string): Promise<void> {
  const writer = await startApp({
    name: 'monolith',
    main: main('monolith'),
    variables: { DIPTYCH_HTTP_PORT: '0', DIPTYCH_LOG_DATA_DIR: dataDir },
  });
  await using http = new HttpClient(writer.url);
  await Promise.all(Array.from({ length: 1_000 }, (_, i) => http.put(`key-${i}`, `value ${i} `.repeat(20))));
  expect((await writer.stop()).code).toBe(0);
}

/** Flips one bit in the largest file, which is where the records are. */
async function damage(dataDir: string, where: number): Promise<{ file: string; offset: number }> {
  const files = await filesUnder(dataDir);
  const sized = await Promise.all(files.map(async (path) => ({ path, bytes: await readFile(path) })));
  const { path, bytes } = sized.sort((a, b) => b.bytes.length - a.bytes.length)[0]!;
  const offset = Math.floor(bytes.length * where);
  bytes[offset]! ^= 0x10;
  await writeFile(path, bytes);
  return { file: path, offset };
}

async function filesUnder(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** Of every file but the lock, which is nobody's data. */
async function hashOf(dataDir: string): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const path of (await filesUnder(dataDir)).sort()) {
    if (/lock/i.test(path.slice(dataDir.length))) continue;
    hashes[path.slice(dataDir.length)] = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
  }
  return hashes;
}
