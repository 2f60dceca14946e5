import type { NatsServer, RunningProcess } from '@diptych/testing';
import { fromSource, startNatsServer, startProcess, waitFor } from '@diptych/testing';
import { firstValueFrom } from 'rxjs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DiptychClient } from '../../src/nest/index.js';

let broker: NatsServer;

beforeAll(async () => {
  broker = await startNatsServer();
});

afterAll(() => broker.stop());

async function run(main: string, args: string[], ready?: RegExp): Promise<RunningProcess> {
  return startProcess({
    ...fromSource(new URL(`../../examples/nest-shop/${main}`, import.meta.url), ...args),
    name: main,
    ...(ready ? { ready } : {}),
  });
}

it.each([
  ['before', 'before'],
  ['after', 'before'],
  ['after', 'after'],
])('the example does the same with the server %s the change of one line and the client %s', async (server, client) => {
  await using stock = await run('stock-main.ts', [broker.url, server], /stock serves/);
  await using order = await run('order-main.ts', [broker.url, client]);
  const exit = await order.exited;
  expect(order.stderr.replace(/^.*npm warn.*$/m, '').trim()).toBe('');
  expect(exit.code).toBe(0);
  expect(order.stdout).toBe('apples left: 3\nreserved apple\napples left: 2\n');
  await waitFor(() => stock.stdout.includes('heard of order 7'));
});

it('a process that is told to stop answers what it has begun, and ends', async () => {
  await using stock = await run('stock-main.ts', [broker.url], /stock serves/);
  const client = new DiptychClient({ servers: broker.url, name: 'test' });
  const answers = Array.from({ length: 50 }, () => firstValueFrom(client.send<string>({ cmd: 'reserve' }, { sku: 'pear', workMs: 300 })));
  await waitFor(() => stock.stdout.split('reserving pear').length === 51);
  await stock.kill('SIGTERM');
  expect(new Set(await Promise.all(answers))).toEqual(new Set(['reserved pear']));
  expect(await stock.exited).toEqual({ code: null, signal: 'SIGTERM' }); // Nest repeats the signal once its hooks have run
  await client.close();
});
