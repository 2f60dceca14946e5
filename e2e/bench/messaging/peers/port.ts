import { DiptychError, within } from '@diptych/kernel';
import type { CallContext } from '@diptych/kernel';
import { Bytes, connectNats, definePort } from '@diptych/messaging';
import { Type } from 'typebox';
import type { Peer } from './peer.js';

/** The smallest port with the shape of a cache read. */
export interface BenchPort {
  get(request: { readonly key: string }, context: CallContext): Promise<{ readonly value: Uint8Array }>;
}

export const benchPort = definePort<BenchPort>({
  name: 'bench',
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

export const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

/** All that a port call carries is on: deadline, trace context, typed errors, schemas. */
export const peer: Peer = {
  async serve(url, values) {
    const entries = new Map(Object.entries(values).map(([key, value]) => [key, { value: Buffer.from(value) }]));
    const link = await connectNats({ servers: url, name: 'bench-server' });
    await link.serve(benchPort, {
      async get({ key }) {
        const entry = entries.get(key);
        if (!entry) throw new DiptychError('INVALID_REQUEST', `the benchmark has no value ${key}`);
        return entry;
      },
    });
  },

  async connect(url) {
    const link = await connectNats({ servers: url, name: 'bench-caller' });
    const port = link.client(benchPort);
    return { get: async (key) => (await port.get({ key }, within(2_000, { traceparent: TRACEPARENT }))).value };
  },
};
