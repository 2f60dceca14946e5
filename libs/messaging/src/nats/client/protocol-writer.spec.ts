import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { Part } from '../../part.js';
import { ProtocolWriter } from './protocol-writer.js';

it('what TLS is given is a copy, and no new memory is made for what comes next', () => {
  const given: Uint8Array[] = [];
  const ignore = () => undefined;
  const socket = {
    writableLength: 0,
    cork: ignore,
    uncork: ignore,
    write(bytes: Uint8Array) {
      given.push(bytes);
      // As TLS does, it says of nothing that it has been taken.
      this.writableLength += bytes.byteLength;
    },
  };
  const writer = new ProtocolWriter(socket as unknown as Socket, true);
  const texts = ['a', 'b'.repeat(70_000), 'c'];
  for (const text of texts) {
    writer.message(`PUB s ${text.length}`, [Part.of(Buffer.from(text))], text.length, 0);
    writer.push();
    socket.writableLength = 0;
  }
  expect(Buffer.concat(given).toString()).toBe(texts.map((text) => `PUB s ${text.length}\r\n${text}\r\n`).join(''));
  for (const { byteLength, buffer } of given) expect(buffer.byteLength).toBeLessThan(Math.max(100_000, byteLength * 2));
});
