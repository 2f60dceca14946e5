import { execFile, spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Certificates are made when a test wants them, by the openssl program where there is one: what is committed expires, and holds a key. */
export const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

/** Paths of PEM files. */
export interface Certificates {
  readonly ca: string;
  readonly broker: { readonly cert: string; readonly key: string };
  readonly client: { readonly cert: string; readonly key: string };
}

/** An authority of its own, and by it a broker at 127.0.0.1 and a client. Good for a day. */
export async function makeCertificates(dir: string): Promise<Certificates> {
  const path = (name: string) => join(dir, name);
  const openssl = (...args: string[]) => promisify(execFile)('openssl', args, { cwd: dir });
  const newKey = (name: string) => ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', path(`${name}.key`)];
  await openssl('req', '-x509', ...newKey('ca'), '-out', path('ca.pem'), '-days', '1', '-subj', '/CN=test authority');
  const sign = async (name: string, extensions: string) => {
    await openssl('req', ...newKey(name), '-out', path(`${name}.csr`), '-subj', `/CN=${name}`);
    await writeFile(path(`${name}.ext`), extensions);
    const from = ['-in', path(`${name}.csr`), '-CA', path('ca.pem'), '-CAkey', path('ca.key'), '-CAcreateserial'];
    await openssl('x509', '-req', ...from, '-out', path(`${name}.pem`), '-days', '1', '-extfile', path(`${name}.ext`));
    return { cert: path(`${name}.pem`), key: path(`${name}.key`) };
  };
  return {
    ca: path('ca.pem'),
    broker: await sign('broker', 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n'),
    client: await sign('client', 'extendedKeyUsage=clientAuth\n'),
  };
}

export const textOf = (path: string) => readFile(path, 'utf8');
