import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tempDir } from '@diptych/testing';
import { expect, it } from 'vitest';
import type { SettingsError } from './environment.js';
import { Environment } from './environment.js';
import { NATS_SETTINGS } from './nats.module.js';

const problemsOf = async (variables: Record<string, string>) => {
  const checked = new Environment(variables).verify([NATS_SETTINGS]).then(() => []);
  return checked.catch((error: unknown) => (error as SettingsError).problems);
};

it('files for TLS that cannot be used are refused before anything is opened', async () => {
  const dir = await tempDir();
  const path = join(dir.path, 'x.pem');
  await writeFile(path, 'no certificate');
  expect(await problemsOf({ DIPTYCH_NATS_TLS_CA_FILE: join(dir.path, 'nowhere') })).toEqual([
    expect.stringMatching(/^DIPTYCH_NATS_TLS_CA_FILE is ".*nowhere", which cannot be read: ENOENT/),
  ]);
  expect(await problemsOf({ DIPTYCH_NATS_TLS_CA_FILE: path })).toEqual([expect.stringMatching(/which holds no PEM$/)]);
  await writeFile(path, '-----BEGIN CERTIFICATE-----');
  for (const one of ['CERT', 'KEY'])
    expect(await problemsOf({ [`DIPTYCH_NATS_TLS_${one}_FILE`]: path })).toEqual([
      expect.stringMatching(/belong together; set both or neither$/),
    ]);
  const all = { DIPTYCH_NATS_TLS_CA_FILE: path, DIPTYCH_NATS_TLS_CERT_FILE: path, DIPTYCH_NATS_TLS_KEY_FILE: path };
  expect(await problemsOf(all)).toEqual([]);
  expect(await problemsOf({})).toEqual([]);
  await dir.remove();
});
