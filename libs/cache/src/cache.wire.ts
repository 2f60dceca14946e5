import { CONTENT_TYPE_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX } from '@diptych/log';
import { Bytes, definePort } from '@diptych/messaging';
import { Type } from 'typebox';
import type { CachePort } from './cache.port.js';

/** How the cache's port crosses a process boundary: subjects `diptych.cache.v1.get`, `.stats` and `.purge`. */

const NATURAL = Type.Integer({ minimum: 0 });
/** Characters are never more than the bytes of their UTF-8; the log holds keys to the byte. */
const KEY = Type.String({ minLength: 1, maxLength: KEY_BYTES_MAX });

const POSITION = Type.Object({
  incarnation: Type.String({ minLength: 1, maxLength: 64 }),
  partition: NATURAL,
  revision: NATURAL,
});

const ENTRY = Type.Object({
  key: KEY,
  value: Bytes({ bytesMax: VALUE_BYTES_MAX }),
  contentType: Type.String({ maxLength: CONTENT_TYPE_BYTES_MAX }),
  revision: NATURAL,
});

const NOTHING = Type.Object({});

export const cachePort = definePort<CachePort>({
  name: 'cache',
  version: 1,
  methods: {
    get: {
      kind: 'unary',
      request: Type.Object({ key: KEY, token: Type.Optional(POSITION) }),
      reply: Type.Object({ entry: Type.Optional(ENTRY), asOf: POSITION, hit: Type.Boolean() }),
      safeToRepeat: true,
      routingKey: ({ key }) => key,
    },
    stats: {
      kind: 'unary',
      request: NOTHING,
      reply: Type.Object({
        entries: NATURAL,
        entriesMax: NATURAL,
        bytes: NATURAL,
        bytesMax: NATURAL,
        hits: NATURAL,
        misses: NATURAL,
        readThroughs: NATURAL,
        evictions: NATURAL,
        resyncs: NATURAL,
        gaps: NATURAL,
      }),
      safeToRepeat: true,
    },
    purge: { kind: 'unary', request: NOTHING, reply: Type.Object({ dropped: NATURAL }), safeToRepeat: true },
  },
});
