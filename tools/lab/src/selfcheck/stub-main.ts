import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A stand-in for an arm whose faults are known: it takes a set time for every request and keeps everything in memory only, so that its
 * death loses every write it has acknowledged. For checking the lab, never for comparing.
 *
 *   node stub-main.js <port, 0 for any> <milliseconds a request takes>
 */
const [port = '0', serviceMs = '0'] = process.argv.slice(2);
const values = new Map<string, Buffer>();

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const answer = () => serve(request, Buffer.concat(chunks), response);
    if (Number(serviceMs) > 0) setTimeout(answer, Number(serviceMs));
    else answer();
  });
});
server.keepAliveTimeout = 60_000;
server.listen(Number(port), '127.0.0.1', () => console.log(`ready on ${(server.address() as AddressInfo).port}`));

function serve(request: IncomingMessage, body: Buffer, response: ServerResponse): void {
  const path = request.url!;
  if (!path.startsWith('/v1/keys/')) return void response.end('{}');
  const known = values.get(path);
  if (request.method === 'PUT') {
    values.set(path, body);
    response.writeHead(known ? 204 : 201).end();
  } else if (request.method === 'DELETE') {
    response.writeHead(values.delete(path) ? 204 : 404).end();
  } else if (known) {
    response.end(known);
  } else {
    response.writeHead(404).end();
  }
}
