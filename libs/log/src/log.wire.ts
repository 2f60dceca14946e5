import { Bytes, definePort } from '@diptych/messaging';
import { Type } from 'typebox';
import type { AppendRequest, LogPort, ReadRequest } from './log.port.js';
import { COMMITTED_LIMIT_MAX, LIST_LIMIT_MAX, REQUEST_ID_CHARS_MAX } from './log.port.js';

/*
 * How the log's port crosses a process boundary.
 *
 * The schemas say what shape a message has. Bounds that have an error of their own (a key or a value that is too large is TOO_LARGE) are
 * left to the engine, so that a request gets the same answer over every binding.
 */

const Key = Type.String({ minLength: 1 });
const Whole = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const PositionSchema = Type.Object({
  incarnation: Type.String({ pattern: '^[0-9a-f]{16}$' }),
  partition: Whole,
  revision: Whole,
});

export const EntrySchema = Type.Object({
  key: Key,
  value: Bytes(),
  contentType: Type.String(),
  revision: Whole,
});

const Mutation = Type.Union([
  Type.Object({ kind: Type.Literal('put'), key: Key, value: Bytes(), contentType: Type.String() }),
  Type.Object({ kind: Type.Literal('delete'), key: Key }),
]);

const Condition = Type.Union([
  Type.Object({ kind: Type.Literal('ifAbsent') }),
  Type.Object({ kind: Type.Literal('ifPresent') }),
  Type.Object({ kind: Type.Literal('ifRevision'), anyOf: Type.Array(PositionSchema, { maxItems: 16 }) }),
]);

const Commit = Type.Object({ key: Key, revision: Whole, previous: Whole, deleted: Type.Boolean() });

const CommitEvent = Type.Union([
  Type.Object({ kind: Type.Literal('commit'), incarnation: Type.String(), partition: Whole, commit: Commit }),
  Type.Object({ kind: Type.Literal('beacon'), head: PositionSchema, sentWallMs: Type.Number() }),
]);

const ListedKey = Type.Object({ key: Key, revision: Whole, bytes: Whole });

const Report = Type.Object({
  asOf: PositionSchema,
  entries: Whole,
  keyBytes: Whole,
  valueBytes: Whole,
  sizes: Type.Array(Whole),
  contentHash: Type.String(),
  topTrigrams: Type.Array(Type.Object({ trigramHex: Type.String(), count: Whole })),
});

const CommittedPage = Type.Union([
  Type.Object({ kind: Type.Literal('page'), commits: Type.Array(Commit), head: PositionSchema, sentWallMs: Type.Number() }),
  Type.Object({ kind: Type.Literal('resync'), head: PositionSchema, sentWallMs: Type.Number() }),
]);

export const logPort = definePort<LogPort>({
  name: 'log',
  version: 1,
  methods: {
    append: {
      kind: 'unary',
      request: Type.Object({
        mutation: Mutation,
        condition: Type.Optional(Condition),
        requestId: Type.String({ minLength: 1, maxLength: REQUEST_ID_CHARS_MAX }),
      }),
      reply: Type.Object({ position: PositionSchema, existed: Type.Boolean() }),
      // The request id makes it so.
      safeToRepeat: true,
      routingKey: (request: AppendRequest) => request.mutation.key,
    },
    read: {
      kind: 'unary',
      request: Type.Object({ key: Key }),
      reply: Type.Object({ entry: Type.Optional(EntrySchema), asOf: PositionSchema }),
      safeToRepeat: true,
      routingKey: (request: ReadRequest) => request.key,
    },
    list: {
      kind: 'unary',
      request: Type.Object({
        prefix: Type.String(),
        after: Type.Optional(Type.String()),
        limit: Type.Integer({ minimum: 1, maximum: LIST_LIMIT_MAX }),
      }),
      reply: Type.Object({ keys: Type.Array(ListedKey), next: Type.Optional(Type.String()) }),
      safeToRepeat: true,
    },
    report: {
      kind: 'unary',
      request: Type.Object({ prefix: Type.String() }),
      reply: Report,
      safeToRepeat: true,
    },
    committed: {
      kind: 'unary',
      request: Type.Object({ after: PositionSchema, limit: Type.Integer({ minimum: 1, maximum: COMMITTED_LIMIT_MAX }) }),
      reply: CommittedPage,
      safeToRepeat: true,
    },
    commits: { kind: 'topic', event: CommitEvent },
  },
});
