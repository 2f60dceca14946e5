import { DiptychError } from '@diptych/kernel';
import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode, encode, errorFromRecord, errorToRecord, recycle } from './codec.js';

const seed = seedFromEnv();

const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string({ unit: 'binary' }),
    // -0 arrives as 0, as in JSON.
    fc.double({ noNaN: true }).map((number) => number + 0),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.uint8Array({ maxLength: 2_000 }),
    fc.array(tie('value'), { maxLength: 6 }),
    fc.dictionary(
      fc.string().filter((name) => name !== '__proto__'),
      tie('value'),
      { maxKeys: 6, noNullPrototype: true },
    ),
  ),
})).value;

describe('the codec', () => {
  it('uses memory again that it has given out for that, and no other', () => {
    // The names of fields are not counted beforehand, so the memory for these grows while they are encoded, to all sizes up to 256 KiB and over.
    for (let length = 20_000; length < 23_000; length += 100) {
      recycle(encode({ ['k'.repeat(length)]: 1 }, 30, true));
      const waiting = encode({ text: 'not sent yet' }).bytes;
      encode({ bytes: new Uint8Array(100_000) }, 30, true);
      expect(decode(waiting), `${length}`).toEqual({ text: 'not sent yet' });
    }
  });

  it('gives back what it was given', () => {
    fc.assert(
      fc.property(value, (given) => {
        expect(decode(encode(given).bytes)).toEqual(given);
      }),
      { seed, numRuns: 500 },
    );
  });

  it('gives bytes back in little more memory than they need, from a Buffer as well', () => {
    for (const length of [0, 1, 3, 64, 300, 2_000, 3_000, 15_000, 70_000]) {
      const given = { bytes: new Uint8Array(length).fill(7) };
      const read = new Uint8Array(65_536 + length);
      read.set(encode(given).bytes, 100);
      const frame = Buffer.from(read.buffer, 100, encode(given).byteLength);
      const { bytes } = decode(frame) as { bytes: Uint8Array };
      expect(bytes).toEqual(given.bytes);
      expect(bytes.constructor).toBe(Uint8Array);
      expect(bytes.buffer.byteLength).toBeLessThanOrEqual(Math.max(8_192, 4 * frame.byteLength));
    }
  });

  it('gives what it decodes a place of its own, whatever is decoded next to it', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 2_500 }), { minLength: 2, maxLength: 40 }), (given) => {
        const decoded = given.map((bytes) => decode(encode({ bytes }).bytes) as { bytes: Uint8Array });
        decoded.forEach(({ bytes }, i) => expect(bytes).toEqual(given[i]));
      }),
      { seed },
    );
  });

  it('encodes large values without taking several times their size, and small ones after them', () => {
    const large = { text: 'é'.repeat(900), bytes: new Uint8Array(100_000).fill(1) };
    const { bytes } = encode(large, 100);
    expect(bytes.buffer.byteLength).toBeLessThan(bytes.byteLength * 4);
    expect(decode(bytes, 100)).toEqual(large);
    const parts = Array.from({ length: 200 }, (_, i) => encode({ i, text: 'x'.repeat(i * 30) }).bytes);
    parts.forEach((part, i) => expect(decode(part)).toEqual({ i, text: 'x'.repeat(i * 30) }));
  });

  it('leaves room in front when asked to', () => {
    const plain = encode({ a: 1 }).bytes;
    expect(encode({ a: 1 }, 200).bytes.subarray(200)).toEqual(plain);
  });

  it('does not reach a prototype', () => {
    // {"__proto__": {"polluted": true}}
    const bytes = Buffer.from('81a95f5f70726f746f5f5f81a8706f6c6c75746564c3', 'hex');
    const decoded = decode(bytes) as { polluted?: boolean };
    expect(decoded.polluted).toBeUndefined();
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('throws on garbage, and is none the worse for it', () => {
    const { bytes: good } = encode({ list: Array.from({ length: 128 }, (_, i) => i) });
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.boolean(), (garbage, extension) => {
        // 0xd4 0x72 begins a definition that would give single bytes another meaning, if it were remembered.
        const bytes = extension
          ? new Uint8Array([0xd4, 0x72, 0x40 + (garbage[0]! & 0x1f), 0x92, 0xa1, 0x61, 0xa1, 0x62, ...garbage])
          : garbage;
        try {
          decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
        expect(decode(good)).toEqual({ list: Array.from({ length: 128 }, (_, i) => i) });
      }),
      { seed, numRuns: 2_000 },
    );
  });

  it('survives nesting without end', () => {
    expect(() => decode(new Uint8Array(500_000).fill(0x91))).toThrow();
  });
});

describe('error records', () => {
  it('keep the code, the message, whether it is definite, and when to come back', () => {
    const error = new DiptychError('CANCELLED', 'why', { definite: true, retryAfterMs: 5, cause: new Error('secret') });
    const record = decode(encode(errorToRecord(error)).bytes);
    expect(record).toEqual({ code: 'CANCELLED', message: 'why', definite: true, retryAfterMs: 5 });
    const there = errorFromRecord(record, 'p.m');
    expect(there).toMatchObject({ code: 'CANCELLED', message: 'why', definite: true, retryAfterMs: 5 });
    expect(there.cause).toBeUndefined();
  });

  it('bound the message', () => {
    expect(errorToRecord(new DiptychError('CONFLICT', 'x'.repeat(1_000_000))).message.length).toBe(2_048);
  });

  it('that are none are INTERNAL and indefinite, whatever they are', () => {
    fc.assert(
      fc.property(fc.anything(), (anything) => {
        expect(errorFromRecord(anything, 'p.m')).toMatchObject({ code: 'INTERNAL', definite: false });
      }),
      { seed },
    );
    for (const record of [{ code: 'NEW_CODE', message: 'x', definite: true }, { code: 'constructor' }, { code: 7 }])
      expect(errorFromRecord(record, 'p.m')).toMatchObject({ code: 'INTERNAL', definite: false });
    expect(errorFromRecord({ code: 'CONFLICT' }, 'p.m')).toMatchObject({ code: 'CONFLICT', definite: true });
  });
});
