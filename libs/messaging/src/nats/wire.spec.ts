import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decode } from '../codec.js';
import {
  answerFrame,
  errorFrame,
  eventFrame,
  FRAME_OVERHEAD_BYTES,
  looksLikeJson,
  parseEventFrame,
  parseReplyFrame,
  ReplyKind,
  parseRequestFrame,
  requestFrame,
} from './wire.js';

const seed = seedFromEnv();
const MAX = 1_000_000;
const id = fc.nat({ max: 2 ** 32 - 1 });
const body = fc.record({ key: fc.string({ unit: 'binary' }), value: fc.uint8Array({ maxLength: 300 }) });

describe('frames', () => {
  it('carry one call there and back', () => {
    fc.assert(
      fc.property(
        id,
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.option(fc.stringMatching(/^[0-9a-f-]{1,128}$/)),
        body,
        (id, ms, trace, request) => {
          const frame = requestFrame('p.m', request, { id, timeLeftMs: ms, traceparent: trace ?? undefined }, ms, MAX);
          expect(looksLikeJson(frame)).toBe(false);
          const { sentMs, calls } = parseRequestFrame(frame);
          expect([sentMs, calls.length]).toEqual([ms, 1]);
          const [call] = calls;
          expect([call!.id, call!.timeLeftMs, call!.traceparent]).toEqual([id, ms, trace ?? undefined]);
          expect(decode(call!.body)).toEqual(request);
          expect(frame.byteLength - call!.body.byteLength).toBeLessThanOrEqual(FRAME_OVERHEAD_BYTES);

          for (const [answer, kind] of [
            [answerFrame('p.m', id, request, MAX), ReplyKind.ANSWER],
            [answerFrame('p.m', id, request, MAX, ReplyKind.VALUE), ReplyKind.VALUE],
            [errorFrame(id, new Error('x')), ReplyKind.ERROR],
          ] as const) {
            const { replies } = parseReplyFrame(answer);
            expect(replies.map((reply) => [reply.id, reply.kind])).toEqual([[id, kind]]);
            expect(decode(replies[0]!.body)).toMatchObject(kind === ReplyKind.ERROR ? { code: 'INTERNAL' } : request);
          }
          expect(decode(parseEventFrame(eventFrame('p.t', request, MAX)))).toEqual(request);
        },
      ),
      { seed },
    );
  });

  it('that are garbage are a RangeError, never a hang or anything else', () => {
    const bytes = fc.uint8Array({ maxLength: 100 });
    const magic = fc.constantFrom(0xd1, 0xd2, 0xd4, 0x7b, 0);
    fc.assert(
      fc.property(bytes, magic, fc.nat({ max: 3 }), (tail, first, count) => {
        const frame = new Uint8Array([first, 0, count, ...tail]);
        for (const parse of [parseRequestFrame, parseReplyFrame, parseEventFrame])
          for (const bytes of [tail, frame]) {
            try {
              parse(bytes);
            } catch (error) {
              expect(error).toBeInstanceOf(RangeError);
            }
          }
      }),
      { seed, numRuns: 2_000 },
    );
  });

  it('that are cut short or too long are refused', () => {
    const frame = requestFrame('p.m', { a: 1 }, { id: 1, timeLeftMs: 1, traceparent: undefined }, 0, MAX);
    for (let length = 0; length < frame.byteLength; length++)
      expect(() => parseRequestFrame(frame.subarray(0, length))).toThrow(RangeError);
    expect(() => parseRequestFrame(new Uint8Array([...frame, 0]))).toThrow(RangeError);
  });

  it('drop a traceparent that is none', () => {
    const frame = requestFrame('p.m', {}, { id: 1, timeLeftMs: 1, traceparent: 'x'.repeat(200) }, 0, MAX);
    expect(parseRequestFrame(frame).calls[0]!.traceparent).toBeUndefined();
  });
});
