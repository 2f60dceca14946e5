import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { httpSettings, SettingsError, type Environment } from '@diptych/host';
import { ApiKeys, keysInFile } from './api-key.js';
import { isLoopback } from './loopback.js';

export interface AccessSettings {
  readonly apiKey?: string;
  readonly apiKeysFile?: string;
  readonly allowAnonymous: boolean;
}

/**
 * Before anything is opened: the API keys can be used, and no stranger comes in unless that is said to be meant.
 *
 * @throws SettingsError
 */
export async function checkAccess(settings: AccessSettings, environment: Environment): Promise<void> {
  const apiKeys = apiKeysOf(settings);
  const { host } = environment.read(httpSettings(0));
  // A name that nobody knows is refused with the port, which is said better there.
  const addresses = await lookup(host, { all: true }).catch(() => []);
  assertGuarded(
    addresses.map(({ address }) => address),
    apiKeys,
    settings,
  );
}

/** Undefined when there are none. @throws SettingsError */
export function apiKeysOf(settings: AccessSettings): ApiKeys | undefined {
  const keys = settings.apiKey === undefined ? [] : [settings.apiKey];
  if (settings.apiKeysFile !== undefined) keys.push(...keysOfFile(settings.apiKeysFile));
  if (keys.length === 0) return undefined;
  try {
    return new ApiKeys(keys);
  } catch (error) {
    throw new SettingsError([`the keys in DIPTYCH_GATEWAY_API_KEYS_FILE cannot be used: ${(error as Error).message}`]);
  }
}

function keysOfFile(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new SettingsError([
      `DIPTYCH_GATEWAY_API_KEYS_FILE is ${JSON.stringify(path)}, which cannot be read: ${(error as Error).message}`,
    ]);
  }
  const keys = keysInFile(text);
  if (keys.length === 0) throw new SettingsError([`DIPTYCH_GATEWAY_API_KEYS_FILE is ${JSON.stringify(path)}, which has no key in it`]);
  return keys;
}

/** @throws SettingsError when strangers could come in and nobody said they may */
export function assertGuarded(addresses: readonly string[], apiKeys: ApiKeys | undefined, settings: AccessSettings): void {
  const reachable = addresses.find((address) => !isLoopback(address));
  if (apiKeys || settings.allowAnonymous || reachable === undefined) return;
  throw new SettingsError([
    `the gateway would listen on ${reachable}, which other machines can reach, without an API key; set DIPTYCH_GATEWAY_API_KEY or ` +
      'DIPTYCH_GATEWAY_API_KEYS_FILE, or DIPTYCH_GATEWAY_ALLOW_ANONYMOUS=true if everybody may do everything',
  ]);
}
