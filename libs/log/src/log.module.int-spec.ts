import { within } from '@diptych/kernel';
import { startApp } from '@diptych/host';
import { assertNoLeaks, openHandles, startNatsServer, tempDir } from '@diptych/testing';
import type { DynamicModule } from '@nestjs/common';
import { expect, it } from 'vitest';
import { put, putRequest, valueOf } from '../test/log-fixture.js';
import type { LogPort } from './index.js';
import { LOG_PORT, LogModule } from './index.js';

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
