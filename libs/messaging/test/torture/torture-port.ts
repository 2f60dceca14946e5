import type { CallContext } from '@diptych/kernel';
import type { Static } from 'typebox';
import { Type } from 'typebox';
import { definePort } from '../../src/port.js';
import { Bytes } from '../../src/schema.js';

/** What a handler does with an order. */
const DEEDS = ['answer', 'fail', 'throw', 'plain', 'oversize', 'garble', 'never', 'stream'] as const;
export type Deed = (typeof DEEDS)[number];

const ORDER = Type.Object({
  i: Type.Integer({ minimum: 0 }),
  does: Type.Enum([...DEEDS]),
  delayMs: Type.Number(),
  /** Wall time, by which a server sees that the deadline it was given is the caller's. */
  endsMs: Type.Number(),
  payload: Bytes(),
  code: Type.Optional(Type.String()),
  values: Type.Optional(Type.Integer()),
});
const DONE = Type.Object({ i: Type.Integer(), server: Type.String(), payload: Bytes(), value: Type.Optional(Type.Integer()) });

export type Order = Static<typeof ORDER>;
export type Done = Static<typeof DONE>;

export interface TorturePort {
  run(order: Order, context: CallContext): Promise<Done>;
  /** Described, and nobody implements it. */
  missing(order: Order, context: CallContext): Promise<Done>;
}

export const torturePort = definePort<TorturePort>({
  name: 'torture',
  version: 1,
  methods: {
    run: { kind: 'unary', request: ORDER, reply: DONE, safeToRepeat: false, routingKey: ({ i }) => String(i % 1_000) },
    missing: { kind: 'unary', request: ORDER, reply: DONE, safeToRepeat: false },
  },
});

/** A value of 1 MB of which payloads are parts: which part tells whose it is, and any other byte is a wrong one. */
const PATTERN = Buffer.alloc(2_000_000);
for (let i = 0, x = 1; i < PATTERN.byteLength; i++) PATTERN[i] = (x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0) >>> 24;

export function payloadOf(i: number, bytes: number): Uint8Array {
  const start = Math.imul(i, 7_919) % 500_000;
  return PATTERN.subarray(Math.abs(start), Math.abs(start) + bytes);
}

/** The `traceparent` of a call, by which its server knows that it is this call's. */
export const traceOf = (i: number) => `00-${(i + 1).toString(16).padStart(32, '0')}-${'1'.repeat(16)}-01`;

/** Larger than any message may be. */
export const OVERSIZE_BYTES = 1_100_000;
