import { DiptychError, hasCode, type CallContext } from '@diptych/kernel';
import { formatPosition, type AppendReply, type Mutation, type Position, type ReadReply } from '@diptych/log';
import { assertAnnouncedBytes } from './body.js';
import { matchHolds, noneMatchFails, writeCondition } from './entity-tags.js';
import { NOT_SNIFFED, type Exchange } from './exchange.js';
import { assertWholeAndPlain, contentTypeOf, DEFAULT_CONTENT_TYPE, isSendable, requestIdOf, tokenOf } from './request-headers.js';
import { keyOf } from './target.js';

/** GET and HEAD. The one hot path: no JSON, no timer, no listener, and one write. */
export async function getKey(exchange: Exchange): Promise<void> {
  const { headers } = exchange.request;
  const key = keyOf(exchange.path);
  const token = tokenOf(headers['diptych-revision']);
  const reply = await exchange.gateway.cache.get(token ? { key, token } : { key }, exchange.context());
  const { entry } = reply;
  const shown = shownBy(reply);
  const state = formatPosition(shown);
  const entityTag = `"${state}"`;
  const revision = isNewer(token, shown) ? formatPosition(token) : state;
  const ifMatch = headers['if-match'];
  if (ifMatch !== undefined && !matchHolds(ifMatch, entry && entityTag))
    return exchange.fail(new DiptychError('CONFLICT', 'If-Match does not hold'), ['Diptych-Revision', revision]);
  if (!entry) return exchange.fail(noSuchKey(), ['Diptych-Revision', revision]);
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined && noneMatchFails(ifNoneMatch, entityTag))
    return exchange.answer(304, ['ETag', entityTag, 'Diptych-Revision', revision, 'Cache-Control', 'no-cache']);
  exchange.answer(
    200,
    [
      'Content-Type',
      isSendable(entry.contentType) ? entry.contentType : DEFAULT_CONTENT_TYPE,
      'ETag',
      entityTag,
      'Diptych-Revision',
      revision,
      ...VALUE_HEADERS,
    ],
    entry.value,
  );
}

/** A shared cache in between must ask again each time, and a browser must not take a value for a page of this origin. */
const VALUE_HEADERS: readonly string[] = ['Cache-Control', 'no-cache', 'Content-Security-Policy', 'sandbox', ...NOT_SNIFFED];

export async function putKey(exchange: Exchange): Promise<void> {
  const { request } = exchange;
  const { headers } = request;
  const key = keyOf(exchange.path);
  const condition = writeCondition(headers['if-match'], headers['if-none-match'], 'PUT');
  const token = tokenOf(headers['diptych-revision']);
  const requestId = requestIdOf(headers['idempotency-key']);
  const contentType = contentTypeOf(request);
  assertWholeAndPlain(request);
  assertAnnouncedBytes(request);
  const context = exchange.context();
  const value = await exchange.body(context);
  const reply = await append(exchange, { mutation: { kind: 'put', key, value, contentType }, condition, requestId, token }, context);
  if (!reply) return;
  const entityTag = `"${formatPosition(reply.position)}"`;
  exchange.answer(reply.existed ? 204 : 201, ['ETag', entityTag, 'Diptych-Revision', newest(token, reply.position)]);
}

export async function deleteKey(exchange: Exchange): Promise<void> {
  const { headers } = exchange.request;
  const key = keyOf(exchange.path);
  const condition = writeCondition(headers['if-match'], headers['if-none-match'], 'DELETE');
  const token = tokenOf(headers['diptych-revision']);
  const requestId = requestIdOf(headers['idempotency-key']);
  const reply = await append(exchange, { mutation: { kind: 'delete', key }, condition, requestId, token }, exchange.context());
  if (!reply) return;
  const revision = ['Diptych-Revision', newest(token, reply.position)];
  if (reply.existed) exchange.answer(204, revision);
  else exchange.fail(noSuchKey(), revision);
}

/**
 * The log's answer, or undefined when the condition failed and that has been answered. The id of the write is the client's
 * `Idempotency-Key` as it is: the log tells another mutation under the same id from a repeat.
 */
async function append(
  exchange: Exchange,
  { mutation, condition, requestId, token }: Write,
  context: CallContext,
): Promise<AppendReply | undefined> {
  const { log } = exchange.gateway;
  try {
    if (condition === 'never') throw new DiptychError('CONFLICT', 'If-Match does not hold: none of its entity tags is of this system');
    return await log.append(condition ? { mutation, condition, requestId } : { mutation, requestId }, context);
  } catch (error) {
    if (!hasCode(error, 'CONFLICT')) throw error;
    // The state that refused the write, from the log itself: a cache may lag behind it. If that cannot be had, the answer stands anyway.
    const reply = await log.read({ key: mutation.key }, context).catch(() => undefined);
    exchange.fail(error, reply ? ['Diptych-Revision', newest(token, reply.asOf)] : []);
    return undefined;
  }
}

interface Write {
  readonly mutation: Mutation;
  readonly condition: ReturnType<typeof writeCondition>;
  readonly requestId: string;
  readonly token: Position | undefined;
}

/** The state an answer to a read shows: of the entry, which its entity tag names, or of the state that has none. */
function shownBy({ entry, asOf }: ReadReply): Position {
  return entry ? { incarnation: asOf.incarnation, partition: asOf.partition, revision: entry.revision } : asOf;
}

/**
 * What `Diptych-Revision` of an answer says: the newest state this client is known to have seen. An entry can be older than what the client
 * saw of other keys, and tokens are opaque, so the client cannot keep the newer of two: each answer has to carry it on.
 */
function newest(token: Position | undefined, shown: Position): string {
  return formatPosition(isNewer(token, shown) ? token : shown);
}

/** A token of another incarnation or partition cannot be compared, and gives way to what is shown. */
function isNewer(token: Position | undefined, shown: Position): token is Position {
  return (
    token !== undefined && token.revision > shown.revision && token.incarnation === shown.incarnation && token.partition === shown.partition
  );
}

function noSuchKey(): DiptychError {
  return new DiptychError('NOT_FOUND', 'there is no entry with this key');
}
