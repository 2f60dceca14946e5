import { within } from '@diptych/kernel';
import { startApp } from '@diptych/host';
import { connectNats } from '@diptych/messaging';
import { assertNoLeaks, fromSource, openHandles, startNatsServer, startProcess, tempDir, waitFor } from '@diptych/testing';
import type { DynamicModule } from '@nestjs/common';
import { expect, it } from 'vitest';
import { put, putRequest, valueOf } from '../test/log-fixture.js';
import type { LogPort } from './index.js';
import { LOG_PORT, LogModule, logPort, openFileLog } from './index.js';
import { assertSoleLog } from './sole-log.js';

const serverModule: DynamicModule = { module: class ServerModule {}, imports: [LogModule.inProcess(), LogModule.served()] };

let port: LogPort | undefined;

const clientModule: DynamicModule = {
  module: class ClientModule {},
  imports: [LogModule.overNats()],
  providers: [{ provide: 'capture', inject: [LOG_PORT], useFactory: (log: LogPort) => (port = log) }],
};

it('answers over NATS, drains on stop, and is UNAVAILABLE afterwards', async () => {
  const before = openHandles();
  await using directory = await tempDir('diptych-log-');
  await using broker = await startNatsServer();
  const variables = {
    DIPTYCH_HTTP_PORT: '0',
    DIPTYCH_TELEMETRY_LEVEL: 'silent',
    DIPTYCH_NATS_URL: broker.url,
    DIPTYCH_LOG_DATA_DIR: directory.path,
  };
  const { DIPTYCH_LOG_DATA_DIR: _, ...clientVariables } = variables;
  const server = await startApp(serverModule, { name: 'server', httpPort: 0, variables });
  const client = await startApp(clientModule, { name: 'client', httpPort: 0, variables: clientVariables });
  await put(port!, 'a', '1');
  expect(await valueOf(port!, 'a')).toBe('1');
  const accepted = Array.from({ length: 100 }, (_, i) => put(port!, `k${i}`, 'v'));
  await Promise.all([server.close(), Promise.allSettled(accepted)]);
  const outcomes = await Promise.allSettled(accepted);
  // Accepted before the stop: answered. Later: refused, and definitely so.
  for (const outcome of outcomes)
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'UNAVAILABLE', definite: true });
  await expect(port!.append(putRequest('b', '1'), within(2_000))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  const again = await startApp(serverModule, { name: 'server', httpPort: 0, variables });
  for (const [i, { status }] of outcomes.entries()) expect(await valueOf(port!, `k${i}`)).toBe(status === 'fulfilled' ? 'v' : undefined);
  await client.close();
  await again.close();
  await broker.stop();
  await assertNoLeaks(before);
});

function variablesFor(brokerUrl: string, directory: string): Record<string, string> {
  return {
    DIPTYCH_HTTP_PORT: '0',
    DIPTYCH_TELEMETRY_LEVEL: 'silent',
    DIPTYCH_NATS_URL: brokerUrl,
    DIPTYCH_LOG_DATA_DIR: directory,
  };
}

const startServer = (variables: Record<string, string>) => startApp(serverModule, { name: 'server', httpPort: 0, variables });

it('does not start beside another log on the same broker, and harms it in no way', async () => {
  await using one = await tempDir('diptych-log-');
  await using two = await tempDir('diptych-log-');
  await using broker = await startNatsServer();
  const server = await startServer(variablesFor(broker.url, one.path));
  const link = await connectNats({ servers: broker.url, name: 'client' });
  const log = link.client(logPort);
  const { position } = await put(log, 'a', '1');
  await expect(startServer(variablesFor(broker.url, two.path))).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringMatching(
      new RegExp(`^another log \\(incarnation ${position.incarnation}\\) already serves on this broker; stop`),
    ),
  });
  for (let i = 0; i < 50; i++) {
    await put(log, `k${i}`, 'v');
    expect(await valueOf(log, `k${i}`)).toBe('v');
  }
  await server.close();
  const second = await startServer(variablesFor(broker.url, two.path));
  expect(await valueOf(log, 'k0')).toBeUndefined();
  await second.close();
  await link.close(0);
});

it('stops answering, and is not ready, when another log turns up all the same', async () => {
  await using one = await tempDir('diptych-log-');
  await using two = await tempDir('diptych-log-');
  await using broker = await startNatsServer();
  const server = await startServer(variablesFor(broker.url, one.path));
  const [link, intruderLink] = await Promise.all(['client', 'intruder'].map((name) => connectNats({ servers: broker.url, name })));
  const log = link!.client(logPort);
  const { position } = await put(log, 'a', '1');
  await using other = await openFileLog({ directory: two.path });
  await intruderLink!.serve(logPort, other);
  const ready = async () => (await (await fetch(`${server.url}/health/ready`)).json()) as { ok: boolean; reasons: string[] };
  await waitFor(async () => !(await ready()).ok, { what: 'not ready' });
  const reason = new RegExp(
    `another log \\(incarnation ${other.incarnation}\\) serves.*this one \\(incarnation ${position.incarnation}\\)`,
  );
  expect(JSON.stringify(await ready())).toMatch(reason);
  // From now on all is answered by one log, the other one.
  await waitFor(async () => (await put(log, 'b', '1')).position.incarnation === other.incarnation);
  for (let i = 0; i < 50; i++) expect((await put(log, `k${i}`, 'v')).position.incarnation).toBe(other.incarnation);
  await server.close();
  await Promise.all([link!.close(0), intruderLink!.close(0)]);
});

it('says so when another log is known to the broker and does not answer', async () => {
  await using broker = await startNatsServer();
  const [link, silent] = await Promise.all(['log', 'silent'].map((name) => connectNats({ servers: broker.url, name })));
  const never = { committed: () => new Promise(() => undefined) } as unknown as LogPort;
  const responder = await silent!.serve(logPort, never);
  await expect(assertSoleLog(link!, { patienceMs: 300 })).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringMatching(/^another log may be serving on this broker: .*300 ms/),
  });
  // It may also end meanwhile, which nobody should have to wait for long.
  const asking = assertSoleLog(link!, { patienceMs: 60_000 });
  await responder.drain(0);
  await asking;
  await Promise.all([link!.close(0), silent!.close(0)]);
});

it('starts again at once after SIGKILL, on the same directory', async () => {
  await using directory = await tempDir('diptych-log-');
  await using broker = await startNatsServer();
  const main = fromSource(new URL('../../../apps/log/src/main.ts', import.meta.url));
  const startChild = () =>
    startProcess({
      ...main,
      env: { ...main.env, ...variablesFor(broker.url, directory.path) },
      name: 'log',
      ready: /"event":"ready"/,
    });
  const link = await connectNats({ servers: broker.url, name: 'client' });
  const log = link.client(logPort);
  for (let round = 0; round < 2; round++) {
    const child = await startChild();
    const { position } = await put(log, `k${round}`, 'v');
    expect(position.revision).toBe(round + 1);
    await child.kill();
  }
  const child = await startChild();
  expect(await valueOf(log, 'k1')).toBe('v');
  await child.stop();
  await link.close(0);
});
