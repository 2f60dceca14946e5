import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeAsk, encodeBeat, OtherVersionError, parseAsk, parseBeat, type Beat } from './beat.wire.js';

const parameters = { seed: seedFromEnv(), numRuns: 500 };
const beat: fc.Arbitrary<Beat> = fc.record({
  instance: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
  state: fc.constantFrom('serving', 'draining', 'left'),
  sequence: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  inFlight: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  periodMs: fc.integer({ min: 1, max: 65_535 }),
  leaseMs: fc.integer({ min: 0, max: 65_535 }),
});

describe('a beat', () => {
  it('is read as it was written, whatever follows it', () => {
    fc.assert(
      fc.property(beat, fc.uint8Array({ maxLength: 20 }), (one, more) => {
        expect(parseBeat(new Uint8Array([...encodeBeat(one), ...more]))).toEqual(one);
      }),
      parameters,
    );
  });

  it('that is cut off, or any other bytes, is a RangeError and nothing else', () => {
    fc.assert(
      fc.property(beat, fc.nat(), fc.uint8Array({ maxLength: 40 }), (one, cut, garbage) => {
        const frame = encodeBeat(one);
        expect(() => parseBeat(frame.subarray(0, cut % frame.byteLength))).toThrow(RangeError);
        for (const bytes of [garbage, new Uint8Array([0xd7, ...garbage]), new Uint8Array([0xd7, 1, ...garbage])]) {
          try {
            const { instance } = parseBeat(bytes);
            expect(instance).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
          }
        }
      }),
      parameters,
    );
  });

  it('of another version, or of none, is refused by name', () => {
    fc.assert(
      fc.property(beat, fc.integer({ min: 0, max: 255 }), (one, version) => {
        fc.pre(version !== 1);
        const frame = encodeBeat(one);
        frame[1] = version;
        expect(() => parseBeat(frame)).toThrow(new OtherVersionError(`its beat is of version ${version}; this side reads version 1`));
        // As it was before it had one: the state came where the version is now.
        const old = new Uint8Array([0xd5, ...encodeBeat(one).subarray(2)]);
        expect(() => parseBeat(old)).toThrow(new OtherVersionError('its beat has no version; this side reads version 1'));
      }),
      parameters,
    );
  });
});

it('an ask says how many members are known; garbage asks too', () => {
  fc.assert(
    fc.property(fc.nat(65_535), fc.uint8Array(), (known, garbage) => {
      expect(parseAsk(encodeAsk(known))).toBe(known);
      expect(parseAsk(garbage)).toBeGreaterThanOrEqual(0);
    }),
    parameters,
  );
});
