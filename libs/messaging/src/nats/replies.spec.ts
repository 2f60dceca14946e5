import { expect, it } from 'vitest';
import { replyFrame } from '../../test/frames.js';
import { decode } from '../codec.js';
import type { Part } from '../part.js';
import type { Connection } from './connection.js';
import { Replies } from './replies.js';
import { ReplyReader } from './frame-readers.js';

/** A connection that can be broken, and what came through it. */
function fakeConnection() {
  const got: Array<{ id: number; kind: number; value: unknown }> = [];
  const connection = {
    status: 'connected',
    publishParts(_: string, __: undefined, parts: readonly Part[]) {
      if (connection.status !== 'connected') throw new Error('down');
      const reader = new ReplyReader(replyFrame(parts));
      while (reader.next()) got.push({ id: reader.id, kind: reader.kind, value: decode(reader.bytes, reader.bodyStart, reader.bodyEnd) });
      return true;
    },
  };
  return { connection, got };
}

it('a stream does not go on past a gap: not with a value, and not with its end', () => {
  for (const end of ['next', 'answer'] as const) {
    const { connection, got } = fakeConnection();
    const replies = new Replies(
      connection as unknown as Connection,
      () => 1_000_000,
      () => undefined,
    );
    const caller = replies.callerOf('inbox');
    const stream = replies.exchange(caller, 1, 'p.m');
    stream.next('first');
    replies.flush();
    connection.status = 'disconnected';
    stream.next('lost');
    replies.flush();
    connection.status = 'connected';
    expect(() => stream[end]('last')).toThrow(expect.objectContaining({ code: 'CONNECTION_LOST' }));
    // What began afterwards has lost nothing.
    const other = replies.exchange(caller, 2, 'p.m');
    other.next('a');
    other.answer('b');
    replies.flush();
    expect(got.map(({ value }) => value)).toEqual(['first', 'a', 'b']);
  }
});

it('a value that travels alone does not overtake those that wait', () => {
  const { connection, got } = fakeConnection();
  const replies = new Replies(
    connection as unknown as Connection,
    () => 1_000_000,
    () => undefined,
  );
  replies.work(1);
  const stream = replies.exchange(replies.callerOf('inbox'), 1, 'p.m');
  stream.next('small');
  stream.next('x'.repeat(100_000));
  stream.next('after');
  stream.answer('y'.repeat(100_000));
  replies.flush();
  expect(got.map(({ value }) => String(value).slice(0, 5))).toEqual(['small', 'xxxxx', 'after', 'yyyyy']);
});
