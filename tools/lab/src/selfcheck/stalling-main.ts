import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A server that answers at once, but stands still for the first 0.8 s of every 4 s: the golden test of the load generator. A process
 * of its own, so that what it costs is not the generator's. Prints its port when it listens.
 */
const STALL_MS = 800;
const PERIOD_MS = 4_000;

const startedMs = performance.now();
const server = createServer((_request, response) => {
  const intoPeriodMs = (performance.now() - startedMs) % PERIOD_MS;
  if (intoPeriodMs >= STALL_MS) response.end();
  else setTimeout(() => response.end(), STALL_MS - intoPeriodMs);
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
