import { ERROR_TABLE, type ErrorCode } from '@diptych/kernel';
import { KEY_BYTES_MAX, LIST_LIMIT_MAX, VALUE_BYTES_MAX } from '@diptych/log';
import { Type, type TSchema } from 'typebox';
import { IF_MATCH_TAGS_MAX } from './entity-tags.js';
import { OPERATIONS, PATHS, type OperationId } from './operations.js';
import {
  EntityTagSchema,
  IdempotencyKeySchema,
  KeyListSchema,
  LIST_LIMIT_DEFAULT,
  ProblemSchema,
  ReportSchema,
  TokenSchema,
} from './schemas.js';

/** The OpenAPI 3.1 document of what the gateway serves, from the same table and schemas it serves by. */
export function openApiDocument(): OpenApiDocument {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { id, method, resource } of OPERATIONS) (paths[PATHS[resource]] ??= {})[method.toLowerCase()] = operation(id);
  return {
    openapi: '3.1.0',
    info: { title: 'Diptych', version: '1', description: DESCRIPTION },
    paths,
    components: {
      schemas: { KeyList: KeyListSchema, Report: ReportSchema, Problem: ProblemSchema },
      securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', description: 'Only where the gateway is run with API keys.' } },
    },
    security: [{}, { apiKey: [] }],
  };
}

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, TSchema>>;
    readonly securitySchemes: Readonly<Record<string, unknown>>;
  };
  readonly security: ReadonlyArray<Readonly<Record<string, readonly string[]>>>;
}

const DESCRIPTION =
  'A key-value system: a durable log with a cache in front. Every error is a problem document with a stable `code`. An unknown path is 404, ' +
  'another method 405 with `Allow`, a request that does not arrive in time 408, a head over 16 KiB 431, and a transfer coding other than chunked 501. ' +
  'The process itself also answers `/health/live`, `/health/ready` and `/metrics`.';

interface Described {
  readonly summary: string;
  readonly parameters: readonly object[];
  readonly requestBody?: object;
  readonly answers: Readonly<Record<number, object>>;
  readonly errors: readonly ErrorCode[];
  /** Narrower statuses than those of the codes. */
  readonly statuses?: readonly number[];
}

function operation(id: Exclude<OperationId, 'none'>): object {
  const { summary, parameters, requestBody, answers, errors, statuses = [] } = DESCRIBED[id];
  const responses: Record<string, object> = { ...answers };
  for (const status of new Set([...errors.map((code) => ERROR_TABLE[code].httpStatus), ...statuses])) {
    const codes = errors.filter((code) => ERROR_TABLE[code].httpStatus === status);
    responses[status] = errorAnswer(id, status, codes);
  }
  return { operationId: id, summary, parameters, ...(requestBody ? { requestBody } : {}), responses };
}

function errorAnswer(id: OperationId, status: number, codes: readonly ErrorCode[]): object {
  const description = codes.map((code) => `${code}: ${ERROR_TABLE[code].meaning}`).join('; ') || NARROW[status]!;
  const aboutKey = status === 404 || status === 412;
  return {
    description: `${description}.`,
    ...(aboutKey || status === 503 ? { headers: aboutKey ? { 'Diptych-Revision': REVISION } : { 'Retry-After': RETRY_AFTER } } : {}),
    ...(id.startsWith('head') ? {} : { content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } }),
  };
}

const NARROW: Readonly<Record<number, string>> = {
  408: 'DEADLINE_EXCEEDED: the request was not complete before its deadline; definite, nothing was done',
  415: 'INVALID_REQUEST: the body has a Content-Encoding',
};

const header = (description: string, schema: TSchema) => ({ description, schema });
const ETAG = header('Strong.', EntityTagSchema);
const REVISION = header(
  'The state this answer shows, or the newer one that the request named. Send it with the next request to be shown this state or a newer one.',
  TokenSchema,
);
const RETRY_AFTER = header('Seconds.', Type.Integer({ minimum: 1 }));
const TAGGED = { ETag: ETAG, 'Diptych-Revision': REVISION };

const parameter = (where: 'path' | 'query' | 'header', name: string, description: string, schema: TSchema) => ({
  in: where,
  name,
  description,
  ...(where === 'path' ? { required: true } : {}),
  schema,
});
const KEY = parameter(
  'path',
  'key',
  `UTF-8, 1 to ${KEY_BYTES_MAX} bytes, percent-encoded where a URL needs it. A slash may stand as it is. The path is never normalised: ` +
    '`.`, `..` and empty segments belong to the key.',
  Type.String({ minLength: 1 }),
);
const TIMEOUT = parameter(
  'header',
  'Diptych-Timeout-Ms',
  'Give up sooner than the gateway would.',
  Type.Integer({ minimum: 1, maximum: 999_999_999 }),
);
const TRACE = parameter('header', 'traceparent', 'W3C trace context.', Type.String());
const COMMON = [TIMEOUT, TRACE];
const PREFIX = parameter('query', 'prefix', 'Of the keys. Default: empty, all keys.', Type.String());
const IF_NONE_MATCH = parameter('header', 'If-None-Match', 'Entity tags, or *. Compared weakly.', Type.String());
const READ_IF_MATCH = parameter('header', 'If-Match', 'Entity tags, or *. Compared strongly.', Type.String());
const IF_MATCH = parameter(
  'header',
  'If-Match',
  `Up to ${IF_MATCH_TAGS_MAX} entity tags, or * for any entry. Not with If-None-Match.`,
  Type.String(),
);
const IF_ABSENT = parameter('header', 'If-None-Match', 'Only *: the key must be absent.', Type.Literal('*'));
const IDEMPOTENCY = parameter(
  'header',
  'Idempotency-Key',
  'Unique per write. A repeat of the same write gets the first answer and changes nothing; another write with it is refused with 400.',
  IdempotencyKeySchema,
);
const TOKEN = parameter('header', 'Diptych-Revision', 'The client has seen this state and must not be shown an older one.', TokenSchema);
const SEEN = parameter(
  'header',
  'Diptych-Revision',
  'The client has seen this state; the answer carries it on if it is newer.',
  TokenSchema,
);

const CALL_ERRORS: readonly ErrorCode[] = [
  'INVALID_REQUEST',
  'UNAUTHENTICATED',
  'TOO_LARGE',
  'OVERLOADED',
  'CIRCUIT_OPEN',
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'CONNECTION_LOST',
  'CANCELLED',
  'INTERNAL',
];
const VALUE = { '*/*': { schema: Type.String({ format: 'binary' }) } };
const json = (name: string) => ({ 'application/json': { schema: { $ref: `#/components/schemas/${name}` } } });
const unchanged = (headers: object) => ({ description: 'What the client has is up to date.', headers });

const GET_KEY: Described = {
  summary: 'Read an entry',
  parameters: [KEY, TOKEN, IF_NONE_MATCH, READ_IF_MATCH, ...COMMON],
  answers: {
    200: { description: 'The value, with the content type it was put with.', headers: TAGGED, content: VALUE },
    304: unchanged(TAGGED),
  },
  errors: [...CALL_ERRORS, 'NOT_FOUND', 'CONFLICT'],
};
const LIST_KEYS: Described = {
  summary: 'List keys in order',
  parameters: [
    PREFIX,
    parameter('query', 'after', 'Only keys that sort after this one.', Type.String()),
    parameter('query', 'limit', 'At most so many.', Type.Integer({ minimum: 1, maximum: LIST_LIMIT_MAX, default: LIST_LIMIT_DEFAULT })),
    ...COMMON,
  ],
  answers: { 200: { description: 'A page.', content: json('KeyList') } },
  errors: CALL_ERRORS,
};
const GET_REPORT: Described = {
  summary: 'Statistics over the values under a prefix',
  parameters: [PREFIX, IF_NONE_MATCH, ...COMMON],
  answers: { 200: { description: 'The report.', headers: TAGGED, content: json('Report') }, 304: unchanged(TAGGED) },
  errors: CALL_ERRORS,
};
const GET_OPENAPI: Described = {
  summary: 'This document',
  parameters: [IF_NONE_MATCH],
  answers: {
    200: { description: 'OpenAPI 3.1.', headers: { ETag: ETAG }, content: { 'application/json': { schema: Type.Object({}) } } },
    304: unchanged({ ETag: ETAG }),
  },
  errors: ['INVALID_REQUEST', 'OVERLOADED'],
};

const DESCRIBED: Readonly<Record<Exclude<OperationId, 'none'>, Described>> = {
  getKey: GET_KEY,
  headKey: headOf(GET_KEY),
  putKey: {
    summary: 'Write an entry',
    parameters: [KEY, IF_MATCH, IF_ABSENT, IDEMPOTENCY, SEEN, ...COMMON],
    requestBody: { description: `The value: at most ${VALUE_BYTES_MAX} bytes, of any content type, kept as they are.`, content: VALUE },
    answers: {
      201: { description: 'There was no entry; now there is.', headers: TAGGED },
      204: { description: 'The entry was replaced.', headers: TAGGED },
    },
    errors: [...CALL_ERRORS, 'CONFLICT', 'STORAGE_FULL'],
    statuses: [408, 415],
  },
  deleteKey: {
    summary: 'Delete an entry',
    parameters: [KEY, IF_MATCH, IDEMPOTENCY, SEEN, ...COMMON],
    answers: { 204: { description: 'The entry is gone.', headers: { 'Diptych-Revision': REVISION } } },
    errors: [...CALL_ERRORS, 'NOT_FOUND', 'CONFLICT', 'STORAGE_FULL'],
  },
  listKeys: LIST_KEYS,
  headKeys: headOf(LIST_KEYS),
  getReport: GET_REPORT,
  headReport: headOf(GET_REPORT),
  getOpenApi: GET_OPENAPI,
  headOpenApi: headOf(GET_OPENAPI),
};

/** The same without the body. */
function headOf(get: Described): Described {
  const answers: Record<number, object> = {};
  for (const [status, answer] of Object.entries(get.answers)) {
    const { content: _content, ...rest } = answer as { content?: object };
    answers[Number(status)] = rest;
  }
  return { ...get, summary: `${get.summary}: the headers alone`, answers };
}
