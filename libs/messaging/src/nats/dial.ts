import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node';
import { connect } from '@nats-io/transport-node';

/** A connection and the socket it is on, which says how much waits in it; undefined should the library no longer use one of Node's. */
export interface Dialled {
  readonly nats: NatsConnection;
  readonly socket: Socket | undefined;
}

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
 * @throws Error when there is no connection within `timeoutMs`, or `signal` is aborted; no socket is left behind
 */
export async function dial(server: ServerAddress, name: string, timeoutMs: number, signal: AbortSignal): Promise<Dialled> {
  signal.throwIfAborted();
  // When a broker accepts a connection and then says nothing, as a stopped process does, the library gives up and leaves its socket
  // open. So the sockets made on the way are noted, and closed here.
  const sockets: Socket[] = [];
  const note = (message: unknown) => {
    if (dialling.getStore() === sockets) sockets.push((message as { socket: Socket }).socket);
  };
  const closeAll = () => sockets.forEach((socket) => socket.destroy());
  subscribe(SOCKET_CHANNEL, note);
  signal.addEventListener('abort', closeAll, { once: true });
  try {
    const nats = await dialling.run(sockets, () => connect(optionsFor(server, name, timeoutMs)));
    return { nats, socket: sockets.at(-1) };
  } catch (error) {
    closeAll();
    if (error instanceof Error && error.name === 'TimeoutError')
      throw new Error(`no answer within ${Math.round(timeoutMs)} ms`, { cause: error });
    throw error;
  } finally {
    unsubscribe(SOCKET_CHANNEL, note);
    signal.removeEventListener('abort', closeAll);
  }
}

function optionsFor({ host, port, user, password }: ServerAddress, name: string, timeoutMs: number): ConnectionOptions {
  const options: ConnectionOptions = {
    servers: [`${host.includes(':') ? `[${host}]` : host}:${port}`],
    name,
    timeout: timeoutMs,
    reconnect: false,
    ignoreClusterUpdates: true,
    noAsyncTraces: true,
    // The link has its own heartbeat, which also ends a connection whose socket no longer takes data.
    pingInterval: NEVER_MS,
  };
  if (user === undefined) return options;
  return password === undefined ? { ...options, token: user } : { ...options, user, pass: password };
}

/** Node announces each TCP client socket on this diagnostics channel, in the asynchronous context that makes it. */
const SOCKET_CHANNEL = 'net.client.socket';
const dialling = new AsyncLocalStorage<Socket[]>();
const NEVER_MS = 2 ** 31 - 1;
