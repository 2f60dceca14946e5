import { once } from 'node:events';
import { createServer } from 'node:net';
import { HttpListener, listenError } from '../http-listener.js';

/**
 * Makes sure that a port is this process's alone before several of its threads share it. With SO_REUSEPORT a second process would be let in
 * as well, and silently take half of the connections, so:
 *
 *   1. a name that goes with the port is taken, which two processes that start in the same moment cannot both have;
 *   2. the port is opened once without sharing, which fails if anybody has it, shared or not, and closed again.
 *
 * A port of 0 needs no claim: the system gives one that nobody has.
 *
 * @returns what gives the name back; keep it for as long as the port
 * @throws UNAVAILABLE with one sentence when the port cannot be had
 */
export async function claimPort(host: string, port: number): Promise<Disposable> {
  if (port === 0) return { [Symbol.dispose]: () => undefined };
  const name = createServer();
  const taken = new Promise<void>((resolve, reject) => {
    name.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)));
    // A name of Linux's abstract namespace is no file and goes with its process. Like ports, each network namespace has its own.
    name.listen(`\0diptych.http.${host}.${port}`, () => resolve());
  });
  await taken;
  try {
    const probe = new HttpListener({ requestTimeoutMs: PROBE_TIMEOUT_MS });
    await probe.listen(host, port);
    const closed = once(probe.server, 'close');
    probe.cut();
    await closed;
  } catch (error) {
    name.close();
    throw error;
  }
  return { [Symbol.dispose]: () => void name.close() };
}

const PROBE_TIMEOUT_MS = 1_000;
