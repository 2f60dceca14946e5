import { systemClock } from '@diptych/kernel';
import type { BrokerAddress, NatsClientOptions } from './client/broker.js';
import { NatsClient } from './client/nats-client.js';

/**
 * `nats://user:password@host:4222`, `nats://token@host`, `host:4222` or `host`; `tls://` in place of `nats://` where there must be no connection without TLS.
 *
 * @throws TypeError when the text is no such address
 */
export function parseServerAddress(text: string): BrokerAddress {
  const trimmed = text.trim();
  const url = new URL(/^[a-z]+:\/\//i.test(trimmed) ? trimmed : `nats://${trimmed}`);
  if (url.protocol !== 'nats:' && url.protocol !== 'tls:') throw new TypeError(`${url.protocol} is not spoken: nats: and tls: are`);
  if (!url.hostname) throw new TypeError('it names no host');
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 4222 : Number(url.port),
    user: url.username ? decodeURIComponent(url.username) : undefined,
    password: url.password ? decodeURIComponent(url.password) : undefined,
    needsTls: url.protocol === 'tls:',
  };
}

/** How an address is shown: without credentials. */
export function describeServer({ host, port }: BrokerAddress): string {
  return `nats://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * One connection to one broker that is not made again when it breaks: reconnecting is the link's own, since nothing may be kept and sent later.
 *
 * @throws Error when there is no connection within `timeoutMs`, or `signal` is aborted; no socket is left behind
 */
export async function dial({ timeoutMs, signal, ...options }: NatsClientOptions & { readonly timeoutMs: number }): Promise<NatsClient> {
  signal.throwIfAborted();
  const attempt = new AbortController();
  const giveUp = () => attempt.abort(signal.reason);
  const timer = systemClock.after(timeoutMs, () => attempt.abort(new Error(`no answer within ${Math.round(timeoutMs)} ms`)));
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    const client = await NatsClient.connect({ ...options, signal: attempt.signal });
    if (!client.info.ldm) return client;
    await client.close();
    throw new Error('the broker says that it will end');
  } finally {
    timer[Symbol.dispose]();
    signal.removeEventListener('abort', giveUp);
  }
}
