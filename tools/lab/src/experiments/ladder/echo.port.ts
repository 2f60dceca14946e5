import type { CallContext } from '@diptych/kernel';
import { Bytes, definePort } from '@diptych/messaging';
import { Type } from 'typebox';

/** The smallest port with the shape of a cache read: a key there, 256 bytes back. What it costs is the binding. */
export interface EchoPort {
  get(request: { readonly key: string }, context: CallContext): Promise<{ readonly value: Uint8Array }>;
}

export const echoPort = definePort<EchoPort>({
  name: 'lab-echo',
  version: 1,
  methods: {
    get: {
      kind: 'unary',
      request: Type.Object({ key: Type.String() }),
      reply: Type.Object({ value: Bytes() }),
      safeToRepeat: true,
    },
  },
});

export function echo(): EchoPort {
  const value = new Uint8Array(256).fill(46);
  return { get: async () => ({ value }) };
}
