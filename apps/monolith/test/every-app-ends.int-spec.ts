import { startApp, type RunningApp } from '@diptych/host';
import { assertNoLeaks, openHandles, startNatsServer, tempDir, waitFor, type NatsServer, type TempDir } from '@diptych/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { APPS, moduleOf } from './every-app.js';

let nats: NatsServer;
let dir: TempDir;
let round = 0;

beforeAll(async () => {
  nats = await startNatsServer();
  dir = await tempDir('diptych-apps-');
});

afterAll(async () => {
  await nats?.stop();
  await dir?.remove();
});

async function start(app: (typeof APPS)[number]): Promise<RunningApp> {
  const variables = {
    DIPTYCH_NATS_URL: nats.url,
    DIPTYCH_TELEMETRY_LEVEL: 'silent',
    DIPTYCH_LOG_DATA_DIR: `${dir.path}/${app}-${round++}`,
  };
  return startApp(await moduleOf(app), { name: app, httpPort: 0, variables });
}

describe.each(APPS)('%s', (app) => {
  it('starts and stops, again and again, and leaves no timer, socket, handle or listener', async () => {
    // What Node and the libraries make once and keep is there after the first round.
    await (await start(app)).close();
    const before = openHandles();
    const listeners = listenersOfProcess();
    for (let i = 0; i < 3; i++) {
      const running = await start(app);
      expect((await fetch(`${running.url}/metrics`)).status).toBe(200);
      await running.close();
    }
    await assertNoLeaks(before);
    expect(listenersOfProcess()).toEqual(listeners);
  });
});

describe.each(['gateway', 'cache', 'log'] as const)('%s', (app) => {
  it('is not ready while the broker is away, and ready again with it', async () => {
    const running = await start(app);
    const ready = async () =>
      (await fetch(`${running.url}/health/ready`)).json() as Promise<{ ok: boolean; checks: { nats: { ok: boolean } } }>;
    expect((await ready()).checks.nats.ok).toBe(true);
    await nats.kill();
    await waitFor(async () => !(await ready()).checks.nats.ok);
    expect((await ready()).ok).toBe(false);
    expect((await fetch(`${running.url}/health/live`)).status).toBe(200);
    await nats.restart();
    await waitFor(async () => (await ready()).checks.nats.ok, { timeoutMs: 20_000 });
    await running.close();
  });
});

function listenersOfProcess(): Record<string, number> {
  return Object.fromEntries(process.eventNames().map((name) => [String(name), process.listenerCount(name)]));
}
