import type { CallContext } from '@diptych/kernel';
import type { Subscription } from '@diptych/messaging';
import { definePort } from '@diptych/messaging';
import { Type } from 'typebox';

/** A part that does whatever a test tells it to. */
export interface ProbePort {
  get(request: { n: number }, context: CallContext): Promise<{ n: number }>;
  /** Not safe to repeat. */
  add(request: { n: number }, context: CallContext): Promise<{ n: number }>;
  news(listener: (event: { n: number }) => void): Promise<Subscription>;
}

const N = Type.Object({ n: Type.Integer() });

export const probePort = definePort<ProbePort>({
  name: 'probe',
  version: 1,
  methods: {
    get: { kind: 'unary', request: N, reply: N, safeToRepeat: true },
    add: { kind: 'unary', request: N, reply: N, safeToRepeat: false },
    news: { kind: 'topic', event: N },
  },
});

/** A probe whose unary methods are all `call`. */
export function probe(call: (request: { n: number }, context: CallContext) => Promise<{ n: number }>): ProbePort {
  return { get: call, add: call, news: async () => ({ delivery: 'synchronous', [Symbol.dispose]: () => undefined }) };
}
