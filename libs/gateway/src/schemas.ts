import { ERROR_TABLE } from '@diptych/kernel';
import { KEY_BYTES_MAX, LIST_LIMIT_MAX, REQUEST_ID_CHARS_MAX } from '@diptych/log';
import { Type, type Static } from 'typebox';

/*
 * The JSON that crosses HTTP. OpenAPI 3.1 schemas are JSON Schemas, so these are served as they are.
 */

const Key = Type.String({ description: `UTF-8, 1 to ${KEY_BYTES_MAX} bytes, any characters.` });
const Count = (description: string) => Type.Integer({ minimum: 0, description });

export const KeyListSchema = Type.Object(
  {
    keys: Type.Array(
      Type.Object(
        {
          key: Key,
          revision: Type.Integer({ minimum: 1, description: 'Of the mutation that wrote the entry, within its partition.' }),
          bytes: Count('Of the value.'),
        },
        { additionalProperties: false },
      ),
      { maxItems: LIST_LIMIT_MAX, description: 'In order of the UTF-8 bytes of the keys.' },
    ),
    next: Type.Optional(Type.String({ description: 'Give it as `after` to go on. Absent: nothing is left.' })),
  },
  { additionalProperties: false },
);

export const ReportSchema = Type.Object(
  {
    entries: Count('Under the prefix.'),
    keyBytes: Count('Of all keys together.'),
    valueBytes: Count('Of all values together.'),
    sizes: Type.Array(Count('Values.'), {
      description: '`sizes[i]` counts the values of 2^(i-1) to 2^i - 1 bytes; `sizes[0]` the empty ones.',
    }),
    contentHash: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256 over keys and values in key order.' }),
    topTrigrams: Type.Array(
      Type.Object(
        { trigramHex: Type.String({ pattern: '^[0-9a-f]{6}$' }), count: Count('Of occurrences.') },
        { additionalProperties: false },
      ),
      { maxItems: 16, description: 'The most frequent byte trigrams of the values, most frequent first, ties by bytes.' },
    ),
  },
  { additionalProperties: false },
);

export const ProblemSchema = Type.Object(
  {
    type: Type.String({ pattern: '^urn:diptych:error:[A-Z_]+$', description: 'Stable.' }),
    title: Type.String({ description: 'What the code means.' }),
    status: Type.Integer({ minimum: 400, maximum: 599 }),
    code: Type.Union(
      Object.keys(ERROR_TABLE).map((code) => Type.Literal(code)),
      { description: 'Stable; what a program looks at.' },
    ),
    detail: Type.String({ description: 'For people. May change.' }),
    definite: Type.Boolean({ description: 'The operation did not happen and will not happen. When false, nobody knows.' }),
  },
  { additionalProperties: false, description: 'An RFC 9457 problem document.' },
);

export const LIST_LIMIT_DEFAULT = 100;

export type KeyList = Static<typeof KeyListSchema>;

export const TokenSchema = Type.String({
  pattern: '^[0-9a-f]{16}-[0-9]{1,5}-[0-9]{1,16}$',
  description: 'Opaque: what state an answer shows. Compare it for equality only, and send it back as it is.',
});
export const EntityTagSchema = Type.String({ pattern: '^"[\\x21\\x23-\\x7e]+"$', description: 'Of an entry: its token in quotes.' });
export const IdempotencyKeySchema = Type.String({ minLength: 1, maxLength: REQUEST_ID_CHARS_MAX, pattern: '^[\\x21-\\x7e]+$' });
