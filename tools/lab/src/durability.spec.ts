import { describe, expect, it } from 'vitest';
import { checkDurability, type HistoryLine } from './durability.js';

const put = (id: string, key: string, sent: number, done: number, outcome: HistoryLine['outcome'] = 'good'): HistoryLine => ({
  id,
  op: 'put',
  key,
  sent,
  done,
  outcome,
});
const remove = (id: string, key: string, sent: number, done: number, outcome: HistoryLine['outcome'] = 'good'): HistoryLine => ({
  ...put(id, key, sent, done, outcome),
  op: 'delete',
});
const check = (history: HistoryLine[], finals: Record<string, string | null>, filled: string[] = []) =>
  checkDurability(history, filled, async (key) => {
    const operation = finals[key] ?? undefined;
    return operation === undefined ? { kind: 'absent' } : { kind: 'value', operation };
  });

describe('checkDurability', () => {
  it('accepts the last write, and either of two that overlapped', async () => {
    expect(await check([put('a', 'k', 0, 1), put('b', 'k', 2, 3)], { k: 'b' })).toEqual({
      acknowledged: 2,
      acknowledgedKeys: 1,
      unknown: 0,
      lost: [],
      phantom: [],
      invented: [],
      unread: [],
    });
    expect((await check([put('a', 'k', 0, 3), put('b', 'k', 1, 2)], { k: 'a' })).lost).toEqual([]);
    expect((await check([put('a', 'k', 0, 3), put('b', 'k', 1, 2)], { k: 'b' })).lost).toEqual([]);
  });

  it('catches a planted lost write: overwritten by nothing, and not there', async () => {
    expect((await check([put('a', 'k', 0, 1), put('b', 'k', 2, 3)], { k: 'a' })).lost).toEqual(['b']);
    expect((await check([put('a', 'k', 0, 1)], { k: null })).lost).toEqual(['a']);
    expect((await check([put('a', 'k', 0, 1)], { k: 'fill' }, ['k'])).lost).toEqual(['a']);
    expect((await check([put('a', 'k', 0, 1), remove('d', 'k', 2, 3)], { k: 'a' })).lost).toEqual(['d']);
  });

  it('counts of a key that is not there, or has gone back, its last acknowledged write alone', async () => {
    const history = [put('a', 'k', 0, 1), put('b', 'k', 2, 3), put('c', 'k', 4, 5), put('d', 'k', 4, 6), put('e', 'other', 7, 8)];
    expect(await check(history, { k: null, other: 'e' }, ['k'])).toMatchObject({ acknowledged: 6, acknowledgedKeys: 2, lost: ['d'] });
    expect((await check(history, { k: 'a', other: 'e' })).lost).toEqual(['d']);
  });

  it('lets a write without an answer happen, not happen, or happen late', async () => {
    const history = [put('a', 'k', 0, 1), put('u', 'k', 2, 9, 'timeout'), put('b', 'k', 10, 11)];
    for (const final of ['u', 'b']) expect(await check(history, { k: final })).toMatchObject({ unknown: 1, lost: [] });
    expect((await check(history, { k: 'a' })).lost).toEqual(['b']);
    expect((await check([put('a', 'k', 0, 1), remove('u', 'k', 2, 3, 'reset')], { k: null })).lost).toEqual([]);
  });

  it('catches a value that nobody wrote', async () => {
    expect(await check([put('a', 'k', 0, 1)], { k: 'nobody' })).toMatchObject({ phantom: ['k'], lost: ['a'] });
  });

  it('counts an acknowledged write as lost that a refused one has overwritten, unless one without an answer may have', async () => {
    const history = [put('a', 'k', 0, 1), put('r', 'k', 2, 3, 'refused')];
    expect(await check(history, { k: 'r' })).toMatchObject({ invented: ['r'], lost: ['a'] });
    expect(await check([...history, put('u', 'k', 2, 3, 'timeout')], { k: 'r' })).toMatchObject({ invented: ['r'], lost: [] });
  });

  it('counts what was never sent as nothing', async () => {
    expect(await check([put('a', 'k', 0, 1, 'unsent')], { k: null })).toEqual({
      acknowledged: 0,
      acknowledgedKeys: 0,
      unknown: 0,
      lost: [],
      phantom: [],
      invented: [],
      unread: [],
    });
  });

  it('catches the loss of what was written before the load, of keys that nothing else touched too', async () => {
    expect(await check([], { k: 'fill' }, ['k'])).toMatchObject({ acknowledged: 1, lost: [], phantom: [] });
    expect((await check([], { k: null }, ['k'])).lost).toEqual(['fill of k']);
    expect((await check([put('u', 'k', 0, 1, 'timeout')], { k: null }, ['k'])).lost).toEqual(['fill of k']);
    expect((await check([remove('d', 'k', 0, 1)], { k: null }, ['k'])).lost).toEqual([]);
    expect((await check([], { k: 'fill' })).phantom).toEqual([]);
  });

  it('catches a write that happened though it was refused, and allows it after any error that leaves it open', async () => {
    const after = (outcome: HistoryLine['outcome']) => check([put('a', 'k', 0, 1), put('r', 'k', 2, 3, outcome)], { k: 'r' });
    expect(await after('refused')).toMatchObject({ invented: ['r'], lost: ['a'], phantom: [], unknown: 0 });
    for (const outcome of ['wrong-status', 'timeout', 'reset', 'pending'] as const)
      expect(await after(outcome)).toMatchObject({ invented: [], lost: [], phantom: [], unknown: 1 });
  });

  it('takes a refused delete for no explanation of an absence', async () => {
    expect((await check([put('a', 'k', 0, 1), remove('d', 'k', 2, 3, 'refused')], { k: null })).lost).toEqual(['a']);
  });

  it('says of keys that cannot be read that they cannot, and calls nothing lost', async () => {
    const keys = Array.from({ length: 50 }, (_, i) => `k${i}`);
    const found = await checkDurability([], keys, () => Promise.reject(new Error('no answer')));
    expect(found.lost).toEqual([]);
    expect(found.unread).toHaveLength(50);
  });
});
