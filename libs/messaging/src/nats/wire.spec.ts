import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { replyFrame, requestFrame } from '../../test/frames.js';
import { NO_TRACEPARENTS } from '../../test/traceparents.js';
import { decode } from '../codec.js';
import { ReplyReader, RequestReader } from './frame-readers.js';
import {
  answerPart,
  callPart,
  errorPart,
  eventFrame,
  FRAME_OVERHEAD_BYTES,
  frameKindOf,
  looksLikeJson,
  parseEventFrame,
  ReplyKind,
  setCallId,
} from './wire.js';

const seed = seedFromEnv();
const MAX = 1_000_000;
const id = fc.nat({ max: 2 ** 32 - 1 });
const ms = fc.double({ noNaN: true, noDefaultInfinity: true });
const body = fc.record({ key: fc.string({ unit: 'binary' }), value: fc.uint8Array({ maxLength: 3_000 }) });
const traceparent = fc.stringMatching(/^(00|cc)-[0-9a-f]{31}1-[0-9a-f]{15}1-[0-9a-f]{2}$/);
const call = fc.record({ id, deadlineMs: ms, traceparent: fc.option(traceparent, { nil: undefined }), body });
const reply = fc.record({ id, kind: fc.constantFrom(...Object.values(ReplyKind)), body });

type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;
type Reply = typeof reply extends fc.Arbitrary<infer T> ? T : never;

function requests(calls: readonly Call[], sentMs: number): Buffer {
  const parts = calls.map(({ id, deadlineMs, traceparent, body }) => {
    const part = callPart('p.m', body, deadlineMs, traceparent, MAX);
    setCallId(part, id);
    return part;
  });
  return requestFrame(parts, sentMs);
}

function replies(given: readonly Reply[]): Buffer {
  return replyFrame(
    given.map(({ id, kind, body }) => (kind === ReplyKind.ERROR ? errorPart(id, new Error('x')) : answerPart('p.m', id, kind, body, MAX))),
  );
}

function readRequests(frame: Uint8Array): Call[] {
  const reader = new RequestReader(frame);
  const calls: Call[] = [];
  while (reader.next()) {
    const { id, deadlineMs, traceparent, bytes, bodyStart, bodyEnd } = reader;
    calls.push({ id, deadlineMs, traceparent, body: decode(bytes, bodyStart, bodyEnd) as Call['body'] });
  }
  return calls;
}

function readReplies(frame: Uint8Array): Array<{ id: number; kind: number; body: unknown }> {
  const reader = new ReplyReader(frame);
  const found = [];
  while (reader.next()) found.push({ id: reader.id, kind: reader.kind, body: decode(reader.bytes, reader.bodyStart, reader.bodyEnd) });
  return found;
}

describe('frames', () => {
  it('carry any number of calls, in order, also from the middle of a larger buffer', () => {
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 70 }), ms, fc.nat({ max: 9 }), (calls, sentMs, offset) => {
        const frame = requests(calls, sentMs);
        expect([frameKindOf(frame), looksLikeJson(frame)]).toEqual(['request', false]);
        const larger = new Uint8Array(offset + frame.byteLength + 9).fill(255);
        larger.set(frame, offset);
        for (const bytes of [frame, larger.subarray(offset, offset + frame.byteLength)]) {
          expect(new RequestReader(bytes).sentMs).toBe(sentMs);
          expect(readRequests(bytes)).toEqual(calls);
        }
      }),
      { seed },
    );
  });

  it('carry any number of replies of every kind', () => {
    fc.assert(
      fc.property(fc.array(reply, { minLength: 1, maxLength: 70 }), (given) => {
        const frame = replies(given);
        expect([frameKindOf(frame), looksLikeJson(frame)]).toEqual(['reply', false]);
        const expected = given.map(({ id, kind, body }) => ({
          id,
          kind,
          body: kind === ReplyKind.ERROR ? expect.objectContaining({ code: 'INTERNAL' }) : body,
        }));
        expect(readReplies(frame)).toEqual(expected);
      }),
      { seed },
    );
  });

  it('carry an event', () => {
    fc.assert(
      fc.property(body, (event) => {
        const frame = eventFrame('p.t', event, MAX);
        expect(frameKindOf(frame)).toBe('event');
        expect(decode(parseEventFrame(frame))).toEqual(event);
      }),
      { seed },
    );
  });

  it('add little to a message that travels alone', () => {
    const alone = requests([{ id: 1, deadlineMs: 1, traceparent: 'x'.repeat(128), body: { key: '', value: new Uint8Array(9_000) } }], 0);
    const reader = new RequestReader(alone);
    reader.next();
    expect(alone.byteLength - (reader.bodyEnd - reader.bodyStart)).toBeLessThanOrEqual(FRAME_OVERHEAD_BYTES);
  });

  it.each([...NO_TRACEPARENTS, `cc-${'1'.repeat(32)}-${'1'.repeat(16)}-01-${'x'.repeat(73)}`])(
    'drop a traceparent that is none: %j',
    (traceparent) => {
      const [read] = readRequests(requests([{ id: 1, deadlineMs: 1, traceparent, body: { key: 'a', value: new Uint8Array(1) } }], 0));
      expect(read).toEqual({ id: 1, deadlineMs: 1, traceparent: undefined, body: { key: 'a', value: new Uint8Array(1) } });
    },
  );
});

const small = fc.oneof(
  fc.array(call, { minLength: 1, maxLength: 4 }).map((calls) => requests(calls, 7)),
  fc.array(reply, { minLength: 1, maxLength: 4 }).map(replies),
);
const parsers = [RequestReader, ReplyReader] as const;

/** Reads it as everything it may be; whatever happens is a RangeError before anything was read, or an Error about one of its parts. */
function readAnyhow(frame: Uint8Array): number {
  let refusals = 0;
  for (const Reader of parsers) {
    let reader;
    try {
      reader = new Reader(frame);
    } catch (error) {
      expect(error).toBeInstanceOf(RangeError);
      refusals++;
      continue;
    }
    let count = 0;
    let last = 0;
    while (reader.next()) {
      count++;
      expect(reader.bodyStart).toBeGreaterThan(last);
      expect(reader.bodyEnd).toBeGreaterThanOrEqual(reader.bodyStart);
      last = reader.bodyEnd;
      try {
        decode(reader.bytes, reader.bodyStart, reader.bodyEnd);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    }
    expect([count, last]).toEqual([reader.count, frame.byteLength]);
  }
  return refusals;
}

describe('frames that are not what they should be', () => {
  it('are refused when they end too soon, wherever that is, or go on', () => {
    fc.assert(
      fc.property(small, fc.uint8Array({ minLength: 1, maxLength: 9 }), (frame, more) => {
        const step = Math.max(1, Math.floor(frame.byteLength / 200));
        for (let length = 0; length < frame.byteLength; length += step) expect(readAnyhow(frame.subarray(0, length))).toBe(2);
        expect(readAnyhow(Buffer.concat([frame, more]))).toBe(2);
      }),
      { seed },
    );
  });

  it('are refused or read to their end when bits are flipped, and a part that is spoilt is an Error of its own', () => {
    fc.assert(
      fc.property(small, fc.array(fc.nat(), { minLength: 1, maxLength: 6 }), (frame, flips) => {
        for (const flip of flips) frame[flip % frame.byteLength]! ^= 1 << (flip % 8);
        readAnyhow(frame);
      }),
      { seed, numRuns: 2_000 },
    );
  });

  it('are refused or read to their end when they are garbage behind a good beginning', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom(0xd1, 0xd2, 0xd4, 0x7b, 0),
        fc.nat({ max: 3 }),
        (tail, kind, count) => {
          readAnyhow(tail);
          readAnyhow(new Uint8Array([kind, 1, 0, count, ...tail]));
          try {
            parseEventFrame(new Uint8Array([kind, ...tail]));
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
          }
        },
      ),
      { seed, numRuns: 2_000 },
    );
  });

  it('are refused when they promise more than they have, without taking time or memory for it', () => {
    const many = new Uint8Array(2_000_000);
    many.set([0xd1, 1, 0xff, 0xff]);
    const long = new Uint8Array(40).fill(0xff);
    long.set([0xd2, 1, 0, 1, 0, 0, 0, 7, 0]);
    const startMs = performance.now();
    expect(() => new RequestReader(many)).toThrow(/goes on past its end/);
    expect(() => new ReplyReader(long)).toThrow(/ends too soon/);
    expect(() => new ReplyReader(Uint8Array.of(0xd2, 1, 0, 0))).toThrow(/holds nothing/);
    expect(performance.now() - startMs).toBeLessThan(500);
  });

  it('are refused by name when they are of another version', () => {
    const frames = [
      requests([{ id: 1, deadlineMs: 1, traceparent: undefined, body: { key: '', value: new Uint8Array() } }], 0),
      replies([{ id: 1, kind: ReplyKind.ANSWER, body: { key: '', value: new Uint8Array() } }]),
      eventFrame('p.t', {}, MAX),
    ];
    const readers = [(frame: Uint8Array) => new RequestReader(frame), (frame: Uint8Array) => new ReplyReader(frame), parseEventFrame];
    frames.forEach((frame, i) => {
      frame[1] = 2;
      expect(() => readers[i]!(frame)).toThrow('its frame is of version 2; this side reads version 1');
    });
  });
});
