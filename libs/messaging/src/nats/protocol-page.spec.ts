import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DiptychError, TRACEPARENT_CHARS_MAX } from '@diptych/kernel';
import { describe, expect, it } from 'vitest';
import { replyFrame, requestFrame } from '../../test/frames.js';
import { decode } from '../codec.js';
import { DEFAULT_BOUNDS } from '../port.js';
import type { Beat } from './routing/beat.wire.js';
import { encodeAsk, encodeBeat, LEASE_MS, parseAsk, parseBeat } from './routing/beat.wire.js';
import type { Catalog } from './routing/catalog.js';
import { encodeCatalog, parseCatalog } from './routing/catalog.js';
import { ReplyReader, RequestReader } from './frame-readers.js';
import {
  ALONE_BYTES,
  answerPart,
  callPart,
  errorPart,
  eventFrame,
  FRAME_BYTES_MAX,
  FRAME_COUNT_MAX,
  FRAME_OVERHEAD_BYTES,
  parseEventFrame,
  ReplyKind,
  setCallId,
} from './wire.js';

const page = readFileSync(fileURLToPath(new URL('../../../../docs/reference/protocol.md', import.meta.url)), 'utf8');

/** The bytes of a block of the page: at the beginning of each line, up to two spaces. */
function block(name: string): Buffer {
  const [, text] = new RegExp(`\`\`\`${name}\n([^\`]*)\`\`\``).exec(page)!;
  const hex = text!.split('\n').map((line) => line.split('  ')[0]!.replaceAll(' ', ''));
  return Buffer.from(hex.join(''), 'hex');
}

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('docs/reference/protocol.md', () => {
  it('shows a request frame as it is written and read', () => {
    const parts = [callPart('p.m', { key: 'a' }, 1_250, undefined, 1_000), callPart('p.m', { key: 'b' }, 2_000, TRACEPARENT, 1_000)];
    parts.forEach((part, i) => setCallId(part, 7 + i));
    const bytes = block('request');
    expect(requestFrame(parts, 1_000).toString('hex')).toBe(bytes.toString('hex'));
    const reader = new RequestReader(bytes);
    const calls = [];
    while (reader.next())
      calls.push([reader.id, reader.deadlineMs, reader.traceparent, decode(reader.bytes, reader.bodyStart, reader.bodyEnd)]);
    expect(calls).toEqual([
      [7, 1_250, undefined, { key: 'a' }],
      [8, 2_000, TRACEPARENT, { key: 'b' }],
    ]);
  });

  it('shows a reply frame as it is written and read', () => {
    const frame = replyFrame([
      answerPart('p.m', 7, ReplyKind.ANSWER, { hit: true }, 1_000),
      errorPart(8, new DiptychError('NOT_FOUND', 'no')),
      answerPart('p.m', 9, ReplyKind.VALUE, 5, 1_000),
    ]);
    const bytes = block('reply');
    expect(frame.toString('hex')).toBe(bytes.toString('hex'));
    const reader = new ReplyReader(bytes);
    const replies = [];
    while (reader.next()) replies.push([reader.id, reader.kind, decode(reader.bytes, reader.bodyStart, reader.bodyEnd)]);
    expect(replies).toEqual([
      [7, 0, { hit: true }],
      [8, 1, { code: 'NOT_FOUND', message: 'no', definite: true }],
      [9, 2, 5],
    ]);
  });

  it('shows an event as it is written and read', () => {
    const bytes = block('event');
    expect(Buffer.from(eventFrame('p.t', { tick: 5 }, 1_000)).toString('hex')).toBe(bytes.toString('hex'));
    expect(decode(parseEventFrame(bytes))).toEqual({ tick: 5 });
  });

  it('shows a beat, an ask and a catalog as they are written and read', () => {
    const beat: Beat = { instance: 'zoe-', state: 'serving', sequence: 7, inFlight: 2, periodMs: 200, leaseMs: LEASE_MS };
    expect(Buffer.from(encodeBeat(beat)).toString('hex')).toBe(block('beat').toString('hex'));
    expect(parseBeat(block('beat'))).toEqual(beat);
    expect(Buffer.from(encodeAsk(3)).toString('hex')).toBe(block('ask').toString('hex'));
    expect(parseAsk(block('ask'))).toBe(3);
    const catalog: Catalog = { instance: 'zoe-', handled: [['k', 'q']] };
    expect(Buffer.from(encodeCatalog(catalog)).toString('hex')).toBe(block('catalog').toString('hex'));
    expect(parseCatalog(block('catalog'))).toEqual(catalog);
  });

  it('has the limits of the code', () => {
    const limits = page
      .slice(page.indexOf('## Limits'), page.indexOf('## What cannot be read'))
      .split('\n')
      .map((line) => /^\|.*\| *([\d,]+) *\|$/.exec(line)?.[1])
      .flatMap((text) => (text === undefined ? [] : [Number(text.replaceAll(',', ''))]));
    expect(limits).toEqual([
      FRAME_COUNT_MAX,
      FRAME_BYTES_MAX,
      ALONE_BYTES,
      DEFAULT_BOUNDS.messageBytesMax,
      FRAME_OVERHEAD_BYTES,
      TRACEPARENT_CHARS_MAX,
      DEFAULT_BOUNDS.inFlightMax,
      DEFAULT_BOUNDS.inFlightBytesMax,
    ]);
  });
});
