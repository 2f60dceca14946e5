import { DiptychError, Lifetime, within } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import { describe, expect, it } from 'vitest';
import { CoherentCache } from '../src/engine/coherent-cache.js';
import { ModelLog } from './model-log.js';
import { closings, open, settled } from './open-cache.js';

describe('with commits that may come late or never', () => {
  it('answers from memory while beacons come, reads through without, and returns', async () => {
    const { cache, clock, log, text } = await open('best-effort');
    log.committedError = new DiptychError('UNAVAILABLE', 'cut off');
    await text('a');
    const tick = () => (clock.advance(100), log.beacon());
    for (let i = 0; i < 50; i++) tick();
    expect(await text('a')).toEqual(['one', 'hit']);
    // How old a beacon is can be told to within the 100 ms between the call that proved the cache level and the first beacon.
    clock.advance(900);
    expect(await text('a')).toEqual(['one', 'hit']);
    clock.advance(101);
    expect(await text('a')).toEqual(['one', 'read']);
    expect(cache.counts()).toMatchObject({ hits: 2, misses: 1, readThroughs: 1 });
    expect(cache.behindMs).toBeGreaterThan(1_000);
    log.committedError = undefined;
    clock.advance(2_000);
    await settled();
    tick();
    expect(await text('a')).toEqual(['one', 'hit']);
  });

  it('a beacon that was long under way does not make the cache fresh', async () => {
    const { clock, log, text } = await open('best-effort');
    await text('a');
    clock.advance(100);
    log.beacon();
    const frozen = clock.wallMs();
    log.committedError = new DiptychError('UNAVAILABLE', 'cut off');
    clock.advance(5_000);
    log.beacon(log.head, frozen + 100);
    expect(await text('a')).toEqual(['one', 'read']);
  });

  it('a lost commit is noticed at the next beacon and fetched', async () => {
    const { cache, clock, log, text } = await open('best-effort');
    await text('a');
    log.holdEvents = true;
    log.put('a', 'two');
    expect(await text('a')).toEqual(['one', 'hit']); // the bounded staleness that the services promise
    log.heldEvents.length = 0;
    log.holdEvents = false;
    clock.advance(100);
    log.beacon();
    await settled();
    expect(await text('a')).toEqual(['two', 'read']);
    expect(cache.counts()).toMatchObject({ gaps: 1, resyncs: 1 });
  });

  it('repeated and disordered commits change nothing', async () => {
    const { log, text } = await open('best-effort');
    log.holdEvents = true;
    log.put('a', 'two');
    log.put('b', 'three');
    const [first, second] = log.heldEvents;
    for (const event of [second!, first!, first!, second!]) log.tell(event);
    await settled();
    expect([await text('a'), await text('a')]).toEqual([
      ['two', 'read'],
      ['two', 'hit'],
    ]);
    log.tell(first!);
    expect(await text('a')).toEqual(['two', 'hit']);
  });

  it('a log that began anew empties the cache, and a fill of its former life is not kept', async () => {
    const { cache, clock, log, get, text } = await open('best-effort');
    await text('a');
    log.holdReads = true;
    const old = get('b');
    log.heldReads[0]!.look();
    log.restart({ a: 'restored' });
    clock.advance(100);
    log.beacon();
    await settled();
    log.heldReads[0]!.answer();
    await old;
    log.holdReads = false;
    expect(await text('a')).toEqual(['restored', 'read']);
    expect((await text('b'))[1]).toBe('read');
    expect(cache.counts().resyncs).toBe(2);
  });

  it('a commit stream that was cut below what the log knows empties the cache', async () => {
    const { cache, clock, log, text } = await open('best-effort');
    await text('a');
    log.holdEvents = true;
    log.put('a', 'two');
    log.compact();
    log.heldEvents.length = 0;
    log.holdEvents = false;
    clock.advance(100);
    log.beacon();
    await settled();
    expect(cache.counts()).toMatchObject({ resyncs: 2, entries: 0 });
    expect(await text('a')).toEqual(['two', 'read']);
  });

  it('keeps nothing before it has found the log, and starts all the same', async () => {
    const clock = new FakeClock();
    const log = new ModelLog({ clock, delivery: 'best-effort' });
    log.committedError = new DiptychError('UNAVAILABLE', 'not yet');
    const lifetime = new Lifetime('test');
    const options = { entriesMax: 10, bytesMax: 10_000, maxStaleMs: 1_000, flightTimeoutMs: 1_000, flightsMax: 10 };
    const cache = await CoherentCache.open(log, { lifetime, clock, ...options });
    closings.push(() => lifetime.close());
    const hit = async () => (await cache.get({ key: 'a' }, within(1_000, { clock }))).hit;
    expect([await hit(), await hit(), cache.behindMs]).toEqual([false, false, Infinity]);
    log.committedError = undefined;
    clock.advance(2_000);
    await settled();
    expect([await hit(), await hit()]).toEqual([false, true]);
  });

  it('does not keep what a log says that began anew before the cache has heard of it', async () => {
    const { log, text } = await open('best-effort');
    log.restart({ a: 'restored', b: 'restored too' });
    expect([await text('a'), await text('a')]).toEqual([
      ['restored', 'read'],
      ['restored', 'read'],
    ]);
  });

  it('does not join a flight older than the staleness allowed, nor lets it undo what a later one brought', async () => {
    const { clock, log, get, text } = await open('best-effort');
    log.holdReads = true;
    const first = get('a');
    log.heldReads[0]!.look();
    clock.advance(1_001);
    log.beacon();
    log.holdEvents = true;
    log.put('a', 'two');
    const second = get('a');
    expect(log.reads).toBe(2);
    log.heldReads[1]!.answer();
    expect((await second).entry?.revision).toBe(2);
    log.heldReads[0]!.answer();
    expect((await first).entry?.revision).toBe(1);
    expect(await text('a')).toEqual(['two', 'hit']);
  });

  it.each(['a newer state', 'a history not heard of yet'])(
    'what an older flight brings is not kept once another has shown %s, held or not',
    async (shown) => {
      const { clock, log, get, text } = await open('best-effort', { entriesMax: 1 });
      log.holdReads = true;
      const first = get('a');
      const [older] = log.heldReads;
      older!.look();
      clock.advance(1_001);
      log.beacon();
      log.holdEvents = true;
      if (shown === 'a newer state') log.put('a', 'two');
      else log.restart({ a: 'two' });
      const second = get('a');
      log.heldReads[1]!.answer();
      expect(Buffer.from((await second).entry!.value).toString()).toBe('two');
      log.holdReads = false;
      await text('another, which takes its place');
      older!.answer();
      expect(Buffer.from((await first).entry!.value).toString()).toBe('one');
      expect(await text('a')).toEqual(['two', 'read']);
    },
  );

  it('a flight begun before another has shown a newer state is not joined any more', async () => {
    const { cache, clock, log, get } = await open('best-effort');
    log.holdReads = true;
    log.holdEvents = true;
    const first = get('a');
    await cache.purge({}, { deadlineMs: 1e12 });
    const second = get('a');
    log.heldReads[1]!.look();
    log.put('a', 'two');
    log.heldReads[0]!.answer();
    expect((await first).entry?.revision).toBe(2);
    const third = get('a');
    clock.advance(1);
    for (const read of [...log.heldReads]) read.answer();
    expect((await second).entry?.revision).toBe(1);
    expect((await third).entry?.revision).toBe(2);
  });
});

describe('a token', () => {
  it('newer than what the cache has heard of reads through, and memory then serves it', async () => {
    const { cache, log, text } = await open('best-effort');
    await text('a');
    log.holdEvents = true;
    const token = log.put('a', 'two');
    expect(await text('a', token)).toEqual(['two', 'read']);
    expect(await text('a', token)).toEqual(['two', 'hit']);
    expect(cache.counts().readThroughs).toBe(1);
    log.deliver();
    expect(await text('a', token)).toEqual(['two', 'hit']);
  });

  it('is satisfied by commits heard of since the entry was read', async () => {
    const { log, text } = await open('best-effort');
    await text('a');
    expect(await text('a', log.put('other', 'x'))).toEqual(['one', 'hit']);
  });

  it('is not satisfied by joining a flight that shows less; those who find that out share one more', async () => {
    const { log, get } = await open('best-effort');
    log.holdReads = true;
    log.holdEvents = true;
    const without = get('a');
    log.heldReads[0]!.look();
    const token = log.put('a', 'two');
    const withToken = [get('a', token), get('a', token), get('a', token)];
    expect(log.reads).toBe(1);
    log.heldReads[0]!.answer();
    await settled();
    expect(log.reads).toBe(2);
    log.heldReads[0]!.answer();
    expect((await without).entry?.revision).toBe(1);
    for (const { entry } of await Promise.all(withToken)) expect(entry?.revision).toBe(2);
  });

  it('of another partition is ignored; of another incarnation reads through', async () => {
    const { log, text } = await open('best-effort');
    await text('a');
    expect(await text('a', { ...log.head, partition: 1, revision: 99 })).toEqual(['one', 'hit']);
    expect(await text('a', { ...log.head, incarnation: 'f'.repeat(16) })).toEqual(['one', 'read']);
  });

  it('that the log itself never gave is answered with what the log has, once read', async () => {
    const { log, text } = await open('best-effort');
    expect(await text('a', { ...log.head, revision: 1_000 })).toEqual(['one', 'read']);
    expect(log.reads).toBe(1);
  });
});
