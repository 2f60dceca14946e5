import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CallContext } from '@diptych/kernel';
import { within } from '@diptych/kernel';
import type { TempDir } from '@diptych/testing';
import { tempDir } from '@diptych/testing';
import { afterEach } from 'vitest';
import type { AppendReply, AppendRequest, Condition, FileLog, FileLogOptions, LogPort } from '../src/index.js';
import { openFileLog } from '../src/index.js';

/** A log in a directory of its own, that can be closed and opened again; all is cleaned up after the test. */
export function useLogs(): { open(options?: Partial<FileLogOptions>): Promise<FileLog>; directory(): Promise<string>; warnings: string[] } {
  const warnings: string[] = [];
  const logs: FileLog[] = [];
  let directory: TempDir | undefined;
  afterEach(async () => {
    for (const log of logs.splice(0)) await log.close();
    await directory?.remove();
    directory = undefined;
    warnings.length = 0;
  });
  const path = async () => join((directory ??= await tempDir('diptych-log-')).path, 'data');
  return {
    warnings,
    directory: path,
    async open(options = {}) {
      const log = await openFileLog({ directory: await path(), onWarning: (message) => warnings.push(message), ...options });
      logs.push(log);
      return log;
    },
  };
}

let requests = 0;

export function nextRequestId(): string {
  return `request-${++requests}`;
}

export function soon(timeoutMs = 15_000): CallContext {
  return within(timeoutMs);
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function putRequest(key: string, value: string | Uint8Array, condition?: Condition, requestId = nextRequestId()): AppendRequest {
  const bytes = typeof value === 'string' ? bytesOf(value) : value;
  return { mutation: { kind: 'put', key, value: bytes, contentType: 'text/plain' }, condition, requestId };
}

export function put(
  log: LogPort,
  key: string,
  value: string | Uint8Array,
  condition?: Condition,
  requestId?: string,
): Promise<AppendReply> {
  return log.append(putRequest(key, value, condition, requestId), soon());
}

export function remove(log: LogPort, key: string, condition?: Condition, requestId = nextRequestId()): Promise<AppendReply> {
  return log.append({ mutation: { kind: 'delete', key }, condition, requestId }, soon());
}

/** The value as text; undefined when absent. */
export async function valueOf(log: LogPort, key: string): Promise<string | undefined> {
  const { entry } = await log.read({ key }, soon());
  return entry && new TextDecoder().decode(entry.value);
}

export async function allKeys(log: LogPort, prefix = '', limit = 1_000): Promise<string[]> {
  const keys: string[] = [];
  let after: string | undefined;
  do {
    const page = await log.list({ prefix, after, limit }, soon());
    keys.push(...page.keys.map(({ key }) => key));
    after = page.next;
  } while (after !== undefined);
  return keys;
}

/** Paths of the segment files, oldest first. */
export function segmentsIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.segment'))
    .sort()
    .map((name) => join(directory, name));
}
