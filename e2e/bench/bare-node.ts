import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** For information: the same answer from node:http alone, with no router and no framework. */
const entries = new Map<string, Buffer>([['bench', Buffer.alloc(256, 'x')]]);
const prefix = '/v1/keys/';

const server = createServer((request, response) => {
  const value = entries.get(decodeURIComponent((request.url ?? '').slice(prefix.length)));
  if (!value) response.writeHead(404).end();
  else response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': value.length }).end(value);
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`));
process.once('SIGTERM', () => {
  server.close();
  server.closeAllConnections();
});
