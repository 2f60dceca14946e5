import { connect as connectSocket } from 'node:net';
import { systemClock } from '@diptych/kernel';
import type { NatsConnection } from '@nats-io/transport-node';
import { connect } from '@nats-io/transport-node';

/** One broker address, taken apart. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
  readonly password: string | undefined;
}

/**
 * `nats://user:password@host:4222`, `host:4222` or `host`.
 *
 * @throws TypeError when the text is no such address
 */
export function parseServerAddress(text: string): ServerAddress {
  const trimmed = text.trim();
  const url = new URL(/^[a-z]+:\/\//i.test(trimmed) ? trimmed.replace(/^[a-z]+:/i, 'nats:') : `nats://${trimmed}`);
  if (!url.hostname) throw new TypeError(`${text} names no host`);
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? 4222 : Number(url.port),
    user: url.username ? decodeURIComponent(url.username) : undefined,
    password: url.password ? decodeURIComponent(url.password) : undefined,
  };
}

/** How an address is shown: without credentials. */
export function describeServer({ host, port }: ServerAddress): string {
  return `nats://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * One connection to one broker that is not made again when it breaks: `closed()` of it resolves then. Reconnecting is the link's
 * own, because the library, while it reconnects, keeps what is published and sends it later.
 *
 * @throws Error when there is no connection within `timeoutMs`, or `signal` is aborted
 */
export async function dial(server: ServerAddress, name: string, timeoutMs: number, signal: AbortSignal): Promise<NatsConnection> {
  const endMs = systemClock.nowMs() + timeoutMs;
  await greeting(server, timeoutMs, signal);
  return connect({
    servers: [`${server.host.includes(':') ? `[${server.host}]` : server.host}:${server.port}`],
    name,
    timeout: Math.max(1, endMs - systemClock.nowMs()),
    reconnect: false,
    ignoreClusterUpdates: true,
    noAsyncTraces: true,
    // The link has its own heartbeat, which also ends a connection whose socket no longer takes data.
    pingInterval: NEVER_MS,
    ...credentials(server),
  });
}

function credentials({ user, password }: ServerAddress): { user?: string; pass?: string; token?: string } {
  if (user === undefined) return {};
  return password === undefined ? { token: user } : { user, pass: password };
}

/**
 * Waits for a broker's first words. The library leaves the socket open when a broker accepts a connection and then says nothing, as
 * a stopped process does, so a broker that does not speak is never handed to it.
 */
async function greeting({ host, port }: ServerAddress, timeoutMs: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const socket = connectSocket(port, host);
    const end = (error?: Error) => {
      timer[Symbol.dispose]();
      signal.removeEventListener('abort', onAbort);
      socket.removeAllListeners();
      // An error may still come while it is being destroyed.
      socket.on('error', () => undefined);
      socket.destroy();
      if (error) reject(error);
      else resolve();
    };
    const timer = systemClock.after(timeoutMs, () => end(new Error(`no greeting within ${Math.round(timeoutMs)} ms`)));
    const onAbort = () => end(new Error('the link was closed'));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('data', () => end());
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED' ? new Error('connection refused') : error));
    socket.once('close', () => end(new Error('the connection was closed at once')));
  });
}

const NEVER_MS = 2 ** 31 - 1;
