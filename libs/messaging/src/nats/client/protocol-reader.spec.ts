import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LENT_BYTES_MAX } from './message.js';
import { ProtocolReader } from './protocol-reader.js';

const seed = seedFromEnv();

/** Feeds text or bytes in pieces of the given sizes, as a socket would, and gives back all that was understood. */
function read(stream: Uint8Array, pieces: readonly number[]): unknown[] {
  const heard: unknown[] = [];
  const reader = new ProtocolReader({
    onMessage: (subscription, { subject, reply, data, headers }) =>
      heard.push({ subscription, subject, reply, data: Buffer.from(data).toString('latin1'), code: headers?.code, a: headers?.get('a') }),
    onInfo: (json) => heard.push(JSON.parse(json)),
    onPing: () => heard.push('ping'),
    onPong: () => heard.push('pong'),
    onError: (text) => heard.push(text),
  });
  for (let at = 0, i = 0; at < stream.byteLength; i++) {
    const { space } = reader;
    const bytes = Math.min(space.byteLength, stream.byteLength - at, pieces.length === 0 ? Infinity : pieces[i % pieces.length]!);
    space.set(stream.subarray(at, at + bytes));
    reader.take(bytes);
    at += bytes;
  }
  return heard;
}

const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,20}$/);
const message = fc.record({
  subscription: fc.integer({ min: 1, max: 100_000 }),
  subject: fc.array(fc.oneof(token, fc.constant('größe')), { minLength: 1, maxLength: 5 }).map((tokens) => tokens.join('.')),
  reply: fc.option(token, { nil: undefined }),
  bytes: fc.oneof(fc.nat(300), fc.constantFrom(LENT_BYTES_MAX - 1, LENT_BYTES_MAX, LENT_BYTES_MAX + 1, 200_000)),
  header: fc.option(token, { nil: undefined }),
  status: fc.constantFrom(0, 503),
});
const said = fc.oneof(
  { weight: 5, arbitrary: message },
  fc.constantFrom('PING', 'PONG', '+OK', "-ERR 'Slow Consumer'", 'INFO {"max_payload":7}'),
);

type Said = typeof said extends fc.Arbitrary<infer T> ? T : never;

function bytesOf(one: Said, i: number): Buffer {
  if (typeof one === 'string') return Buffer.from(`${one}\r\n`);
  const { subscription, subject, reply, bytes, header, status } = one;
  const data = Buffer.alloc(bytes, `\r\nMSG ${i} `);
  const to = [subject, subscription, ...(reply === undefined ? [] : [reply])].join(' ');
  if (header === undefined) return Buffer.concat([Buffer.from(`MSG ${to} ${bytes}\r\n`), data, Buffer.from('\r\n')]);
  const head = Buffer.from(`NATS/1.0${status === 0 ? '' : ` ${status}`}\r\na: ${header}\r\n\r\n`);
  return Buffer.concat([Buffer.from(`HMSG ${to} ${head.byteLength} ${head.byteLength + bytes}\r\n`), head, data, Buffer.from('\r\n')]);
}

function heardOf(one: Said, i: number): unknown[] {
  if (typeof one !== 'string') {
    const { subscription, subject, reply, bytes, header, status } = one;
    const data = Buffer.alloc(bytes, `\r\nMSG ${i} `).toString('latin1');
    return [{ subscription, subject, reply, data, code: header === undefined ? undefined : status, a: header }];
  }
  return { PING: ['ping'], PONG: ['pong'], INFO: [{ max_payload: 7 }], '-ERR': ['Slow Consumer'] }[one.split(' ')[0]!] ?? [];
}

describe('what a broker says', () => {
  it('is understood however it is cut into pieces', () => {
    fc.assert(
      fc.property(
        fc.array(said, { maxLength: 12 }),
        fc.array(
          fc.oneof(
            fc.integer({ min: 1, max: 90 }),
            fc.nat(300_000).map((n) => n + 1),
          ),
        ),
        (all, pieces) => {
          const heard = read(Buffer.concat(all.map(bytesOf)), pieces.length > 0 && Math.max(...pieces) < 50 ? [...pieces, 1_000] : pieces);
          expect(heard).toEqual(all.flatMap(heardOf));
        },
      ),
      { seed, numRuns: 200 },
    );
  });

  it('is refused when it is nothing that a broker says, and never hangs', () => {
    const wrong = [
      'HELLO\r\n',
      'MSG a 1\r\n',
      'MSG a 1 b c 2\r\nhi\r\n',
      'MSG a 1 -2\r\nhi\r\n',
      'MSG a x 2\r\nhi\r\n',
      'MSG a 1 2\r\nhi there\r\n',
      'MSG a 1 99999999999\r\n',
      'HMSG a 1 9 2\r\nhi\r\n',
      'INFO {\r\n',
      'x'.repeat(70_000),
    ];
    for (const text of wrong) expect(() => read(Buffer.from(text), []), text.slice(0, 20)).toThrow();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (garbage) => {
        try {
          read(garbage, []);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
      { seed },
    );
  });

  it('may have headers that are none: they are left out, and the message is heard', () => {
    for (const head of [
      '',
      'x',
      'NATS/1.0 words\r\n\r\n',
      'NATS/1.0 0 words\r\n\r\n',
      'NATS/1.0-9\r\n\r\n',
      'NATS/1.0\r\nno colon\r\n: no name\r\nb\u0000ad: x\r\na: good\r\n\r\n',
    ]) {
      const bytes = Buffer.byteLength(head);
      const [heard] = read(Buffer.from(`HMSG s 1 ${bytes} ${bytes + 2}\r\n${head}hi\r\n`), []);
      expect(heard).toMatchObject({ data: 'hi' });
      expect((heard as { a?: string }).a || 'none', head).toBe(head.includes('good') ? 'good' : 'none');
    }
  });
});

it('a large message is its receiver’s own, whatever is read after it', () => {
  const kept: Buffer[] = [];
  const ignore = () => undefined;
  const reader = new ProtocolReader({
    onMessage: (_, { data }) => kept.push(data),
    onInfo: ignore,
    onPing: ignore,
    onPong: ignore,
    onError: ignore,
  });
  for (const letter of ['a', 'b', 'c']) {
    const stream = Buffer.from(`MSG s 1 100000\r\n${letter.repeat(100_000)}\r\n`);
    for (let at = 0; at < stream.byteLength;) {
      const bytes = stream.copy(reader.space, 0, at);
      reader.take(bytes);
      at += bytes;
    }
  }
  expect(kept.map((data) => data.toString())).toEqual(['a', 'b', 'c'].map((letter) => letter.repeat(100_000)));
});
