import { FakeClock } from '@diptych/kernel/testing';
import { within } from '@diptych/kernel';
import type { Condition, FileLog, Position } from '@diptych/log';
import { openFileLog } from '@diptych/log';
import { tempDir } from '@diptych/testing';
import { expect, it } from 'vitest';

/*
 * Claim: a lease alone does not keep two writers apart, since its holder may sleep past its end and not know; the condition of the log's append does, with the
 * revision as fencing token.
 */
it('who sleeps past the end of a lease and wakes is fenced off by the revision it read', async () => {
  await using directory = await tempDir();
  const log = await openFileLog({ directory: directory.path });
  const clock = new FakeClock();
  const put = puts(log);
  const read = async (key: string) => {
    const { entry, asOf } = await log.read({ key }, within(10_000));
    return { text: Buffer.from(entry?.value ?? []).toString(), at: { ...asOf, revision: entry?.revision ?? 0 } };
  };
  /** @returns whether the lease is mine now */
  const take = async (who: string) => {
    const { text, at } = await read('lease');
    if (text !== '' && (JSON.parse(text) as { endMs: number }).endMs > clock.nowMs()) return false;
    const condition: Condition = text === '' ? { kind: 'ifAbsent' } : { kind: 'ifRevision', anyOf: [at] };
    return put('lease', JSON.stringify({ who, endMs: clock.nowMs() + 1_000 }), condition).then(
      () => true,
      () => false,
    );
  };
  await put('account', '100');

  // Of many who want it one gets it, and reads what it means to change.
  expect((await Promise.all(['a', 'b', 'c'].map(take))).filter((mine) => mine)).toHaveLength(1);
  const before = await read('account');
  // It sleeps; its lease ends; another takes over and writes. Without a condition the sleeper would undo that.
  expect(await take('d')).toBe(false);
  clock.advance(1_001);
  expect(await take('d')).toBe(true);
  await put('account', '70', { kind: 'ifRevision', anyOf: [(await read('account')).at] });
  await expect(put('account', '101', { kind: 'ifRevision', anyOf: [before.at] })).rejects.toMatchObject({ code: 'CONFLICT' });
  expect((await read('account')).text).toBe('70');
  await log.close();
});

function puts(log: FileLog) {
  let requests = 0;
  return async (key: string, text: string, condition?: Condition): Promise<Position> => {
    const mutation = { kind: 'put', key, value: Buffer.from(text), contentType: 'text/plain' } as const;
    return (await log.append({ mutation, condition, requestId: `request-${++requests}` }, within(10_000))).position;
  };
}
