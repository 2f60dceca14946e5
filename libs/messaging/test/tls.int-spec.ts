import { within } from '@diptych/kernel';
import type { TempDir } from '@diptych/testing';
import { tempDir, waitFor } from '@diptych/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TlsOptions } from '../src/index.js';
import { connectNats } from '../src/index.js';
import { dial, parseServerAddress } from '../src/nats/dial.js';
import type { Certificates } from './certificates.js';
import { hasOpenssl, makeCertificates, textOf } from './certificates.js';
import { codeOf, Rig } from './rig.js';

/** Whom a link believes, and whom the broker lets in: by the certificates of an authority that nobody else knows. */
describe.skipIf(!hasOpenssl)('a broker with TLS', () => {
  let dir: TempDir;
  let made: Certificates;
  let ca: string;
  beforeAll(async () => {
    dir = await tempDir();
    made = await makeCertificates(dir.path);
    ca = await textOf(made.ca);
  });
  afterAll(() => dir.remove());

  const configOf = (...more: string[]) => {
    const { broker } = made;
    return `tls { ${[`cert_file: "${broker.cert}"`, `key_file: "${broker.key}"`, `ca_file: "${made.ca}"`, 'timeout: 60', ...more].join(', ')} }`;
  };

  /** One attempt, with all the time that a busy machine may need. */
  const attempt = (rig: Rig, tls?: TlsOptions) =>
    dial({ address: parseServerAddress(rig.broker.url), tls, name: 'test', timeoutMs: 60_000, signal: new AbortController().signal });

  it('is believed by who is given its authority: calls of all sizes pass, and it is gone back to', async () => {
    await using rig = await Rig.start({ config: configOf() });
    const { port, caller, server } = await rig.served({ tls: { ca } });
    for (const bytes of [0, 1_000, 100_000, 900_000]) expect((await port.produce({ bytes }, within(60_000))).bytes).toHaveLength(bytes);
    const texts = Array.from({ length: 500 }, (_, i) => String(i));
    const replies = await Promise.all(texts.map((text) => port.echo({ text }, within(60_000))));
    expect(replies.map(({ text }) => text)).toEqual(texts);
    await rig.broker.restart();
    await waitFor(() => caller.status === 'connected' && server.status === 'connected', { timeoutMs: 60_000 });
    expect(await codeOf(port.echo({ text: 'again' }, within(60_000)))).toBe('answered');
  });

  it('is not believed by others, and the error says why', async () => {
    await using rig = await Rig.start({ config: configOf() });
    await expect(attempt(rig)).rejects.toThrow(/^(self-signed certificate|unable to)/);
  });

  it('that asks for certificates lets in who has one of its authority, and nobody else', async () => {
    await using rig = await Rig.start({ config: configOf('verify: true') });
    const { client } = made;
    const { port } = await rig.served({ tls: { ca, cert: await textOf(client.cert), key: await textOf(client.key) } });
    expect(await codeOf(port.echo({ text: '' }, within(60_000)))).toBe('answered');
    await expect(attempt(rig, { ca })).rejects.toThrow();
  });
});

it('a link that is told of TLS does not go without', async () => {
  await using rig = await Rig.start();
  await expect(rig.link({ tls: {}, connectTimeoutMs: 1_000 })).rejects.toThrow(/^cannot reach NATS/);
});

it('certificates that are none are refused at once, and an empty authority too: Node would believe all that it knows', async () => {
  const none = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  const connect = (tls: TlsOptions) => codeOf(connectNats({ servers: 'nats://127.0.0.1:1', name: 'test', connectTimeoutMs: 60_000, tls }));
  for (const tls of [{ ca: '' }, { ca: 'x' }, { ca: none }, { cert: none }, { key: none }, { cert: none, key: none }])
    expect(await connect(tls)).toBe('INVALID_REQUEST');
});
