import { createHash } from 'node:crypto';
import { DiptychError } from '@diptych/kernel';
import { formatPosition, LIST_LIMIT_MAX } from '@diptych/log';
import { noneMatchFails } from './entity-tags.js';
import { NOT_SNIFFED, type Exchange } from './exchange.js';
import { openApiDocument } from './openapi.js';
import { LIST_LIMIT_DEFAULT, type KeyList } from './schemas.js';
import { assertKeyBytes, queryOf } from './target.js';

export async function listKeys(exchange: Exchange): Promise<void> {
  const { prefix = '', after = '', limit } = queryOf(exchange.path, ['prefix', 'after', 'limit']);
  assertKeyBytes(prefix, 'prefix');
  assertKeyBytes(after, 'after');
  const request = { prefix, limit: limitOf(limit) };
  const reply = await exchange.gateway.log.list(after === '' ? request : { ...request, after }, exchange.context());
  const list: KeyList = {
    keys: reply.keys.map(({ key, revision, bytes }) => ({ key, revision, bytes })),
    ...(reply.next === undefined ? {} : { next: reply.next }),
  };
  answerJson(exchange, Buffer.from(JSON.stringify(list)), []);
}

export async function getReport(exchange: Exchange): Promise<void> {
  const { prefix = '' } = queryOf(exchange.path, ['prefix']);
  assertKeyBytes(prefix, 'prefix');
  const { asOf, ...report } = await exchange.gateway.log.report({ prefix }, exchange.context());
  // Without `asOf`, which goes into a header: so the entity tag changes only when something under the prefix does.
  const body = Buffer.from(JSON.stringify(report));
  const tag = entityTagOfBytes(body);
  answerTagged(exchange, body, tag, ['Diptych-Revision', formatPosition(asOf)]);
}

export async function getOpenApi(exchange: Exchange): Promise<void> {
  queryOf(exchange.path, []);
  openApi ??= withTag(Buffer.from(JSON.stringify(openApiDocument())));
  answerTagged(exchange, openApi.body, openApi.tag, []);
  return Promise.resolve();
}

let openApi: { readonly body: Buffer; readonly tag: string } | undefined;

function answerTagged(exchange: Exchange, body: Buffer, tag: string, headers: string[]): void {
  const all = ['ETag', tag, 'Cache-Control', 'no-cache', ...headers];
  const ifNoneMatch = exchange.request.headers['if-none-match'];
  if (ifNoneMatch !== undefined && noneMatchFails(ifNoneMatch, tag)) exchange.answer(304, all);
  else answerJson(exchange, body, all);
}

function answerJson(exchange: Exchange, body: Buffer, headers: readonly string[]): void {
  exchange.answer(200, ['Content-Type', 'application/json', ...headers, ...NOT_SNIFFED], body);
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return LIST_LIMIT_DEFAULT;
  const limit = /^[1-9][0-9]{0,3}$/.test(text) ? Number(text) : 0;
  if (limit < 1 || limit > LIST_LIMIT_MAX)
    throw new DiptychError('INVALID_REQUEST', `limit must be a whole number from 1 to ${LIST_LIMIT_MAX}`);
  return limit;
}

function withTag(body: Buffer): { body: Buffer; tag: string } {
  return { body, tag: entityTagOfBytes(body) };
}

function entityTagOfBytes(body: Buffer): string {
  return `"${createHash('sha256').update(body).digest('hex').slice(0, 32)}"`;
}
