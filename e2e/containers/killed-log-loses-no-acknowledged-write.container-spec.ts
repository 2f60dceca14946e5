import { fileURLToPath } from 'node:url';
import { freePort, waitFor } from '@diptych/testing';
import { DockerComposeEnvironment, getContainerRuntimeClient, Wait, type StartedDockerComposeEnvironment } from 'testcontainers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/**
 * Goal: in the form that people deploy, the death of the log's container takes writes away and nothing else, and no write
 * that was acknowledged is lost.
 *
 * Method: the services of docker-compose.yml on a free port; writes one after another; SIGKILL to the log's container in the
 * middle of them; reads of a warm key while it is gone; its start; every acknowledged write is read back.
 */
const WORKSPACE = fileURLToPath(new URL('../..', import.meta.url));
const WRITES_BEFORE = 40;
const WRITES_AFTER = 20;

let environment: StartedDockerComposeEnvironment;
let url: string;

beforeAll(async () => {
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  environment = await new DockerComposeEnvironment(WORKSPACE, 'docker-compose.yml')
    .withBuild()
    .withEnvironment({ ...(process.env as Record<string, string>), GATEWAY_PORT: String(port) })
    .withDefaultWaitStrategy(Wait.forHealthCheck())
    .up(['gateway']);
});

afterAll(async () => {
  await environment?.down({ removeVolumes: true });
});

const put = (key: string, value: string) =>
  fetch(`${url}/v1/keys/${key}`, { method: 'PUT', body: value, signal: AbortSignal.timeout(10_000) });
const get = (key: string) => fetch(`${url}/v1/keys/${key}`, { signal: AbortSignal.timeout(10_000) });

describe('a killed log container', () => {
  const acknowledged = new Map<string, string>();

  it('takes no acknowledged write with it, and reads from the cache go on', async () => {
    expect((await put('warm', 'still here')).status).toBe(201);
    expect(await (await get('warm')).text()).toBe('still here');

    const client = await getContainerRuntimeClient();
    const log = client.container.getById(environment.getContainer('log-1').getId());
    const writing = write(0, WRITES_BEFORE + WRITES_AFTER, acknowledged);
    await waitFor(() => acknowledged.size >= WRITES_BEFORE, { timeoutMs: 30_000, what: `${WRITES_BEFORE} writes are acknowledged` });
    await log.kill({ signal: 'SIGKILL' });

    const cached = await get('warm');
    expect([cached.status, await cached.text()]).toEqual([200, 'still here']);
    const refused = await put('while-gone', 'x');
    expect(refused.status).toBeGreaterThanOrEqual(502);
    expect(refused.headers.get('content-type')).toContain('application/problem+json');
    expect((await client.container.inspect(log)).State.ExitCode).toBe(137);
    await writing;

    await log.start();
    await waitFor(async () => (await put('back', 'x')).status < 300, { timeoutMs: 60_000, what: 'writes work again' });
    expect(acknowledged.size).toBeGreaterThanOrEqual(WRITES_BEFORE);
    for (const [key, value] of acknowledged) {
      const answer = await get(key);
      expect([key, answer.status, await answer.text()]).toEqual([key, 200, value]);
    }
  });
});

/** Writes keys one after another, and notes those that were answered with success. */
async function write(from: number, to: number, acknowledged: Map<string, string>): Promise<void> {
  for (let i = from; i < to; i++) {
    const [key, value] = [`key-${i}`, `value ${i} ${'.'.repeat(i)}`];
    const answer = await put(key, value).catch(() => undefined);
    if (answer?.ok) acknowledged.set(key, value);
  }
}
