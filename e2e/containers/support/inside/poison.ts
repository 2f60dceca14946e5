/*
 * Sends what cannot be read: to an HTTP port, or as NATS messages to the methods of a port, for so many milliseconds, from a seed.
 * Writes how much was sent and what came back: statuses, or codes of errors.
 */
import { connect } from 'node:net';

const [kind, target, seed, lastsMs] = process.argv.slice(1) as [string, 'log' | 'cache', string, string];
let state = Number(seed) >>> 0;
const random = (below: number) => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) % below;
const bytes = (length: number) => Buffer.from(Array.from({ length }, () => random(256)));
const pick = <T>(list: readonly T[]) => list[random(list.length)]!;
const endMs = performance.now() + Number(lastsMs);
const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
const tally = { sent: 0, answers: {} as Record<string, number> };
const count = (answer: string) => (tally.answers[answer] = (tally.answers[answer] ?? 0) + 1);

await (kind === 'http' ? overHttp() : overNats());
console.log(JSON.stringify(tally));

async function overHttp() {
  const head = (line: string, ...headers: string[]) => [line, 'Host: x', ...headers, '', ''].join('\r\n');
  const poisons = [
    () => bytes(1 + random(300)),
    () => head('GET /v1/keys/%zz HTTP/1.1'),
    () => head(`GET /v1/keys/${'k'.repeat(5000)} HTTP/1.1`),
    () => head('PUT /v1/keys/a HTTP/1.1', 'Content-Length: 5', 'Content-Length: 6'),
    () => head('PUT /v1/keys/a HTTP/1.1', 'Transfer-Encoding: chunked') + 'zz\r\n',
    () => head('GET /v1/keys?limit=1e99&prefix=%ff HTTP/1.1'),
    () => head('GET /v1/keys/a HTTP/1.1', `X: ${'x'.repeat(40_000)}`),
    () => head('PUT /v1/keys/__proto__ HTTP/1.1', 'If-Match: "', 'Content-Length: 1') + 'x',
    () => head('GET /v1/keys/a HTTP/1.1', 'Diptych-Revision: ' + '('.repeat(3000)),
    () => head('BREW /v1/keys/a HTTP/1.1'),
  ];
  for (; performance.now() < endMs; await pause()) {
    tally.sent++;
    const socket = connect(8080, target);
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      socket.on('data', (data) => ((text += String(data)), /^HTTP\/1\.1 \d{3}/.test(text) && resolve(text.slice(9, 12))));
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
      socket.on('close', () => resolve('closed'));
      socket.setTimeout(1_500, () => resolve('no answer'));
      socket.write(pick(poisons)());
      socket.end();
    });
    socket.destroy();
    count(answer);
  }
}

async function overNats() {
  const frame = (calls: number, ...rest: Buffer[]) => Buffer.concat([Buffer.from([0xd1, 1, calls >> 8, calls & 255]), ...rest]);
  const poisons = [
    () => bytes(1 + random(300)),
    () => Buffer.from([0xd1]),
    () => frame(65_535, bytes(40)),
    () => frame(1, Buffer.alloc(8), Buffer.alloc(12), Buffer.from([0, 255, 255, 255, 255]), bytes(30)),
    // Nested so deep that a reader that calls itself runs out of stack: as MessagePack, and as JSON.
    () =>
      frame(1, Buffer.from('408f400000000000' + '00000007' + '40f0000000000000' + '00' + '00030d40', 'hex'), Buffer.alloc(200_000, 0x91)),
    () => Buffer.from('{"key":' + '['.repeat(200_000)),
    () => Buffer.from('{"key":'),
    () => Buffer.from('{"__proto__":{"key":"a"},"constructor":1}'),
    () => Buffer.from('{"key":12345}'),
    () => Buffer.from('{"requestId":"' + 'x'.repeat(100_000) + '"}'),
  ];
  const methods = { log: ['append', 'read', 'list', 'report'], cache: ['get', 'stats'] }[target];
  const socket = connect(4222, 'nats');
  socket.on('data', (data) => {
    const text = String(data);
    if (text.includes('PING\r\n')) socket.write('PONG\r\n');
    for (const [, code] of text.matchAll(/Diptych-Error: ([A-Z_]+)/g)) count(code!);
  });
  socket.on('error', (error: NodeJS.ErrnoException) => count(String(error.code)));
  socket.write('CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\nSUB poison.> 1\r\n');
  for (; performance.now() < endMs; await pause()) {
    const payload = pick(poisons)();
    tally.sent++;
    const reply = pick(['', ` poison.${tally.sent}`]);
    socket.write(
      Buffer.concat([Buffer.from(`PUB diptych.${target}.v1.${pick(methods)}${reply} ${payload.length}\r\n`), payload, Buffer.from('\r\n')]),
    );
  }
  await new Promise((resolve) => (socket.write('PING\r\n'), socket.once('data', resolve)));
  socket.destroy();
}
