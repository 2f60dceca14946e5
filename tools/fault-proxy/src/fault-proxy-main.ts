import { parseArgs } from 'node:util';
import { Lifetime } from '@diptych/kernel';
import type { Address } from './connection.js';
import { serveControl } from './control-server.js';
import { FaultProxy } from './fault-proxy.js';

const USAGE = `fault-proxy --control <host:port> --route <name>=<listen host:port>,<upstream host:port> …

Carries each route as a plain wire until told otherwise at the control address. SIGTERM and SIGINT end it.`;

/** Exit codes: 0 stopped by a signal, 1 failure, 2 bad arguments. Says `ready` in a JSON line. */
async function main(): Promise<number> {
  const { values } = parseArgs({ options: { control: { type: 'string' }, route: { type: 'string', multiple: true } } });
  if (values.control === undefined || !values.route?.length) throw new TypeError(USAGE);
  const stopped = new Promise<void>((resolve) => process.once('SIGINT', () => resolve()).once('SIGTERM', () => resolve()));
  const control = addressOf(values.control);
  const lifetime = new Lifetime('fault proxy');
  try {
    const proxies = new Map<string, FaultProxy>();
    for (const route of values.route) {
      const [, name = '', listen = '', upstream = ''] = /^([\w-]+)=([^,]+),([^,]+)$/.exec(route) ?? [];
      if (proxies.has(name)) throw new TypeError(`two routes are named ${name}`);
      const proxy = await FaultProxy.listen({ listen: addressOf(listen), upstream: addressOf(upstream) });
      proxies.set(name, lifetime.own(`route ${name}`, proxy));
    }
    const { url } = lifetime.own('control', await serveControl(proxies, control));
    const ports = Object.fromEntries([...proxies].map(([name, { port }]) => [name, port]));
    console.info(JSON.stringify({ event: 'ready', url, ports }));
    await stopped;
    return 0;
  } finally {
    await lifetime.close();
  }
}

function addressOf(text: string): Address {
  const [, host, port] = /^([^:]+):(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65_535) throw new TypeError(`"${text}" is no address like 127.0.0.1:4222\n${USAGE}`);
  return { host, port: Number(port) };
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = error instanceof TypeError ? 2 : 1;
}
