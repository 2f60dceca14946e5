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
const check = (history: HistoryLine[], finals: Record<string, string | null>) =>
  checkDurability(history, async (key) => {
    const operation = finals[key] ?? undefined;
    return operation === undefined ? { kind: 'absent' } : { kind: 'value', operation };
  });

describe('checkDurability', () => {
  it('accepts the last write, and either of two that overlapped', async () => {
    expect(await check([put('a', 'k', 0, 1), put('b', 'k', 2, 3)], { k: 'b' })).toEqual({
      acknowledged: 2,
      unknown: 0,
      lost: [],
      phantom: [],
    });
    expect((await check([put('a', 'k', 0, 3), put('b', 'k', 1, 2)], { k: 'a' })).lost).toEqual([]);
    expect((await check([put('a', 'k', 0, 3), put('b', 'k', 1, 2)], { k: 'b' })).lost).toEqual([]);
  });

  it('catches a planted lost write: overwritten by nothing, and not there', async () => {
    expect((await check([put('a', 'k', 0, 1), put('b', 'k', 2, 3)], { k: 'a' })).lost).toEqual(['b']);
    expect((await check([put('a', 'k', 0, 1)], { k: null })).lost).toEqual(['a']);
    expect((await check([put('a', 'k', 0, 1)], { k: 'fill' })).lost).toEqual(['a']);
    expect((await check([put('a', 'k', 0, 1), remove('d', 'k', 2, 3)], { k: 'a' })).lost).toEqual(['d']);
  });

  it('lets a write without an answer happen, not happen, or happen late', async () => {
    const history = [put('a', 'k', 0, 1), put('u', 'k', 2, 9, 'timeout'), put('b', 'k', 10, 11)];
    for (const final of ['u', 'b']) expect(await check(history, { k: final })).toMatchObject({ unknown: 1, lost: [] });
    expect((await check(history, { k: 'a' })).lost).toEqual(['b']);
    expect((await check([put('a', 'k', 0, 1), remove('u', 'k', 2, 3, 'reset')], { k: null })).lost).toEqual([]);
  });

  it('catches a value that nobody wrote', async () => {
    expect((await check([put('a', 'k', 0, 1)], { k: 'nobody' })).phantom).toEqual(['k']);
  });

  it('counts what was never sent as nothing', async () => {
    expect(await check([put('a', 'k', 0, 1, 'unsent')], { k: null })).toEqual({ acknowledged: 0, unknown: 0, lost: [], phantom: [] });
  });
});
