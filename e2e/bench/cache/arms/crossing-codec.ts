import { createRequire } from 'node:module';

export type How = 'clone' | 'codec';

type Codec = { pack(value: unknown): Buffer; unpack(bytes: Uint8Array): unknown };

/** The very package that messages over NATS are encoded with, as it is set there. */
const { Packr } = createRequire(import.meta.resolve('@diptych/messaging'))('msgpackr') as { Packr: new (options: object) => Codec };
const packr = new Packr({ useRecords: false, mapsAsObjects: true, moreTypes: false });

export const codec = {
  /** In memory of its own: a clone copies all that is behind a view. */
  encode: (value: unknown): Uint8Array => new Uint8Array(packr.pack(value)),
  decode: (bytes: Uint8Array): unknown => packr.unpack(bytes),
};
