import { EntrySchema, PositionSchema } from '@diptych/log';
import { definePort } from '@diptych/messaging';
import { Type } from 'typebox';
import type { CachePort } from './cache.port.js';

/*
 * How the cache's port crosses a process boundary. The bound of keys is the log's, which every key that is new to the cache
 * reaches, so that it has the same error everywhere.
 */

const Whole = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

const Nothing = Type.Object({});

export const cachePort = definePort<CachePort>({
  name: 'cache',
  version: 1,
  methods: {
    get: {
      kind: 'unary',
      request: Type.Object({ key: Type.String({ minLength: 1 }), token: Type.Optional(PositionSchema) }),
      reply: Type.Object({ entry: Type.Optional(EntrySchema), asOf: PositionSchema, hit: Type.Boolean() }),
      safeToRepeat: true,
      routingKey: ({ key }) => key,
    },
    stats: {
      kind: 'unary',
      request: Nothing,
      reply: Type.Object({
        entries: Whole,
        entriesMax: Whole,
        bytes: Whole,
        bytesMax: Whole,
        hits: Whole,
        misses: Whole,
        readThroughs: Whole,
        evictions: Whole,
        resyncs: Whole,
        gaps: Whole,
      }),
      safeToRepeat: true,
    },
    purge: { kind: 'unary', request: Nothing, reply: Type.Object({ dropped: Whole }), safeToRepeat: true },
  },
});
