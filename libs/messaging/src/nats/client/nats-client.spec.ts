import { afterEach, describe, expect, it } from 'vitest';
import { startScriptedBroker, type ScriptedBroker } from '../../../test/scripted-broker.js';
import { dial, parseServerAddress } from '../dial.js';
import type { NatsClient } from './nats-client.js';

const cleanUps: Array<() => unknown> = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** Of an attempt at one that greets so: who is connected, or why nobody is. */
async function connect(greeting?: string): Promise<{ broker: ScriptedBroker; client: NatsClient }> {
  const broker = await startScriptedBroker(undefined, greeting);
  cleanUps.push(() => broker.close());
  const address = parseServerAddress(`127.0.0.1:${broker.port}`);
  const client = await dial({ address, name: 'test', timeoutMs: 60_000, signal: new AbortController().signal });
  cleanUps.push(() => client.close());
  return { broker, client };
}

describe('a connection is not made', () => {
  const needsTls = 'INFO {"headers":true,"tls_required":true}\r\n';

  it.each(['PING\r\n', 'INFO {"connect_urls":["stranger:4222"]}\r\n', 'MSG'])(
    'with a broker that wants TLS when somebody on the way has added %j to its greeting',
    async (added) => {
      await expect(connect(needsTls + added)).rejects.toThrow(/^bytes came between the greeting of the broker and TLS/);
    },
  );

  it.each(['INFO {"headers":false}\r\n', 'INFO {}\r\n'])(
    'with a broker that could not say that nobody serves a port: %j',
    async (greeting) => {
      await expect(connect(greeting)).rejects.toThrow(/^the broker has no headers/);
    },
  );
});

describe('a broker that asks without end whether we are there', () => {
  it('is answered while it reads the answers', async () => {
    const { broker, client } = await connect();
    const { socket } = broker.dials[0]!;
    let pongs = 0;
    socket.on('data', (bytes: Buffer) => (pongs += bytes.toString('latin1').split('PONG').length - 1));
    for (let i = 0; i < 20; i++) {
      socket.write('PING\r\n'.repeat(1_000));
      await client.flush();
    }
    expect(pongs).toBeGreaterThan(10_000);
  });

  it('and reads no answer, is left before they fill the memory', { timeout: 120_000 }, async () => {
    const { broker, client } = await connect();
    const { socket } = broker.dials[0]!;
    socket.pause();
    const pings = Buffer.from('PING\r\n'.repeat(100_000));
    const ask = () => {
      while (!socket.destroyed && socket.write(pings));
    };
    socket.on('drain', ask);
    ask();
    expect(await client.closed).toMatchObject({ message: expect.stringMatching(/reads no answer/) });
    expect(client.backlogBytes).toBeLessThan(1_000_000);
  });
});
