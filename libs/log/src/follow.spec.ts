import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '@diptych/kernel';
import { DiptychError, Lifetime } from '@diptych/kernel';
import { FakeClock } from '@diptych/kernel/testing';
import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { put, useLogs } from '../test/log-fixture.js';
import type { FollowOptions, Follower } from './follow.js';
import { follow } from './follow.js';
import type { Commit, CommitEvent, CommittedPage, LogPort, Position } from './log.port.js';

/** A log of commits alone, whose events pass through the hands of the test. */
class FakeLog {
  readonly clock: Clock;
  incarnation = 'aaaaaaaaaaaaaaaa';
  commitList: Commit[] = [];
  /** Below this `committed` answers RESYNC. */
  oldest = 0;
  pageMax = 10_000;
  down = false;
  /** How far its wall clock is ahead. */
  wallAheadMs = 0;
  calls = 0;
  delivery: 'synchronous' | 'best-effort' = 'best-effort';
  /** What becomes of an event. */
  pass: (event: CommitEvent, deliver: (event: CommitEvent) => void) => void = (event, deliver) => deliver(event);
  #listener: ((event: CommitEvent) => void) | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get head(): Position {
    return { incarnation: this.incarnation, partition: 0, revision: this.commitList.length };
  }

  get wallMs(): number {
    return this.clock.wallMs() + this.wallAheadMs;
  }

  get subscribed(): boolean {
    return this.#listener !== undefined;
  }

  commit(key = `k${this.commitList.length}`): void {
    const commit = { key, revision: this.commitList.length + 1, previous: this.commitList.length, deleted: false };
    this.commitList.push(commit);
    this.#emit({ kind: 'commit', incarnation: this.incarnation, partition: 0, commit });
  }

  beacon(sentWallMs = this.wallMs): void {
    this.#emit({ kind: 'beacon', head: this.head, sentWallMs });
  }

  restore(incarnation: string): void {
    this.incarnation = incarnation;
    this.commitList = [];
  }

  /** Comes back as it was at a revision, in the same incarnation. */
  shorten(revision: number): void {
    this.commitList.length = revision;
  }

  readonly port = {
    commits: async (listener: (event: CommitEvent) => void) => {
      this.#listener = listener;
      return { delivery: this.delivery, [Symbol.dispose]: () => (this.#listener = undefined) };
    },
    committed: async ({ after, limit }: { after: Position; limit: number }): Promise<CommittedPage> => {
      this.calls++;
      await nextTurn();
      if (this.down) throw new DiptychError('UNAVAILABLE', 'down');
      if (after.incarnation !== this.incarnation || after.revision < this.oldest || after.revision > this.head.revision)
        return { kind: 'resync', head: this.head, sentWallMs: this.wallMs };
      const commits = this.commitList.slice(after.revision, after.revision + Math.min(limit, this.pageMax));
      return { kind: 'page', commits, head: this.head, sentWallMs: this.wallMs };
    },
  } as unknown as LogPort;

  #emit(event: CommitEvent): void {
    const deliver = (passed: CommitEvent) => this.#listener?.(passed);
    this.pass(event, deliver);
  }
}

const lifetimes: Lifetime[] = [];
afterEach(async () => {
  for (const lifetime of lifetimes.splice(0)) await lifetime.close();
});

const logs = useLogs();

function newLifetime(): Lifetime {
  const lifetime = new Lifetime('test');
  lifetimes.push(lifetime);
  return lifetime;
}

/** Keeps what was handed over, and checks on the way that it is one chain. */
function recorder() {
  const seen = { keys: [] as string[], resyncs: [] as Position[], gaps: 0, position: undefined as Position | undefined };
  const handlers = {
    onCommit(commit: Commit, position: Position) {
      expect(commit.previous).toBe(seen.position?.revision);
      expect(position).toEqual({ ...seen.position, revision: commit.revision });
      seen.position = position;
      seen.keys.push(commit.key);
    },
    onResync(head: Position) {
      seen.position = head;
      seen.resyncs.push(head);
      seen.keys = [];
    },
    onGap: () => seen.gaps++,
  };
  return { seen, handlers };
}

async function start(options: Partial<FollowOptions> = {}, prepare: (log: FakeLog) => void = () => undefined) {
  const clock = new FakeClock({ nowMs: 1_000 });
  const log = new FakeLog(clock);
  prepare(log);
  const { seen, handlers } = recorder();
  const lifetime = newLifetime();
  const follower = await follow(log.port, handlers, { lifetime, clock, ...options });
  return { clock, log, seen, follower, lifetime };
}

async function turns(count = 5): Promise<void> {
  for (let i = 0; i < count; i++) await nextTurn();
}

/** Lets time pass, in steps, until the follower stands at the log's head. */
async function settle(clock: FakeClock, log: FakeLog, follower: Follower): Promise<void> {
  for (let i = 0; i < 200; i++) {
    clock.advance(100);
    log.beacon();
    await turns();
    if (follower.position?.incarnation === log.incarnation && follower.position.revision === log.head.revision) return;
  }
  throw new Error(`the follower stands at ${JSON.stringify(follower.position)} and the log at ${JSON.stringify(log.head)}`);
}

describe('follow', () => {
  it('starts at the head, without history, and hands over what comes', async () => {
    const { log, seen, follower } = await start({}, (log) => (log.commit('old'), log.commit('older')));
    expect(seen.resyncs).toEqual([{ incarnation: log.incarnation, partition: 0, revision: 2 }]);
    log.commit('a');
    log.commit('b');
    expect(seen.keys).toEqual(['a', 'b']);
    expect(follower.position).toEqual(log.head);
    expect(log.calls).toBe(1);
  });

  it('misses nothing that is committed while it starts', async () => {
    const clock = new FakeClock();
    const log = new FakeLog(clock);
    const { seen, handlers } = recorder();
    const starting = follow(log.port, handlers, { lifetime: newLifetime(), clock });
    for (let i = 0; i < 10; i++) {
      await Promise.resolve();
      log.commit();
    }
    const follower = await starting;
    log.commit('last');
    expect(follower.position).toEqual(log.head);
    expect(seen.keys.length + seen.resyncs[0]!.revision).toBe(11);
  });

  it('fetches what was lost, page by page, once it shows', async () => {
    const { log, seen, follower } = await start({}, (log) => (log.pageMax = 3));
    log.pass = () => undefined;
    for (let i = 0; i < 10; i++) log.commit();
    log.pass = (event, deliver) => deliver(event);
    log.commit('last');
    expect(seen.keys).toEqual([]);
    await turns(20);
    expect(seen.keys).toHaveLength(11);
    expect(seen.gaps).toBe(1);
    expect(follower.position).toEqual(log.head);
  });

  it('notices a loss at the end by the beacon', async () => {
    const { log, seen, follower } = await start();
    log.pass = (event, deliver) => event.kind === 'beacon' && deliver(event);
    log.commit('lost');
    log.beacon();
    await turns();
    expect(seen.keys).toEqual(['lost']);
    expect(follower.position).toEqual(log.head);
  });

  it('starts afresh when the log comes back shorter in the same incarnation, and is not called fresh until then', async () => {
    const { clock, log, seen, follower } = await start();
    for (let i = 0; i < 5; i++) log.commit();
    expect(follower.position).toEqual(log.head);
    log.shorten(2);
    const before = follower.freshAtMs;
    clock.advance(100);
    log.commit('anew');
    log.beacon();
    expect(follower.freshAtMs).toBe(before);
    await turns();
    expect(seen.resyncs.at(-1)).toEqual({ ...log.head, revision: 3 });
    expect(seen.resyncs).toHaveLength(2);
    log.commit('next');
    expect(seen.keys).toEqual(['next']);
    expect(follower.position).toEqual(log.head);
  });

  it('a beacon that is older than the position costs one call and changes nothing', async () => {
    const { log, seen, follower } = await start();
    const held: Array<() => void> = [];
    log.pass = (event, deliver) => (event.kind === 'beacon' ? held.push(() => deliver(event)) : deliver(event));
    log.beacon();
    log.commit('a');
    held.forEach((deliver) => deliver());
    await turns();
    expect([seen.resyncs.length, seen.gaps, log.calls]).toEqual([1, 0, 2]);
    expect(seen.keys).toEqual(['a']);
    expect(follower.position).toEqual(log.head);
  });

  it('ignores duplicates and late events', async () => {
    const { log, seen } = await start();
    const events: CommitEvent[] = [];
    log.pass = (event, deliver) => (events.push(event), deliver(event), deliver(event));
    for (let i = 0; i < 5; i++) log.commit();
    log.pass = (_, deliver) => events.forEach(deliver);
    log.commit('next');
    log.pass = (event, deliver) => deliver(event);
    log.beacon();
    await turns();
    expect(seen.keys).toEqual(['k0', 'k1', 'k2', 'k3', 'k4', 'next']);
    expect(seen.resyncs).toHaveLength(1);
  });

  it('starts afresh in a new incarnation, and when its place is forgotten', async () => {
    const { log, seen, follower, clock } = await start();
    log.commit('a');
    log.restore('bbbbbbbbbbbbbbbb');
    log.commit('b');
    await turns();
    expect(seen.resyncs.map(({ incarnation }) => incarnation)).toEqual(['aaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbb']);
    expect(follower.position).toEqual(log.head);
    log.pass = () => undefined;
    for (let i = 0; i < 10; i++) log.commit();
    log.oldest = 8;
    log.pass = (event, deliver) => deliver(event);
    await settle(clock, log, follower);
    expect(seen.resyncs).toHaveLength(3);
    expect(seen.resyncs[2]).toEqual(log.head);
  });

  it('goes on trying while the log is down, and starts without it', async () => {
    const failures: unknown[] = [];
    const { log, clock, seen, follower } = await start({ onFailure: (error) => failures.push(error) }, (log) => (log.down = true));
    expect(follower.position).toBeUndefined();
    expect(follower.freshAtMs).toBe(-Infinity);
    for (let i = 0; i < 50; i++) {
      clock.advance(1_000);
      await turns();
    }
    expect(failures.length).toBeGreaterThan(20);
    log.down = false;
    log.commit('a');
    await settle(clock, log, follower);
    expect(seen.resyncs).toHaveLength(1);
    expect(follower.freshAtMs).toBeGreaterThan(clock.nowMs() - 500);
  });

  it('keeps a bounded number of events while it catches up, and loses none', async () => {
    const { log, clock, seen, follower } = await start({ bufferMax: 4 });
    log.down = true;
    log.pass = () => undefined;
    log.commit('lost');
    log.pass = (event, deliver) => deliver(event);
    for (let i = 0; i < 50; i++) log.commit();
    await turns();
    log.down = false;
    for (let i = 0; i < 50; i++) log.commit();
    await settle(clock, log, follower);
    expect(seen.keys).toHaveLength(101);
  });

  it('one call at a time', async () => {
    const { log, clock } = await start();
    log.calls = 0;
    log.pass = () => undefined;
    log.commit();
    log.pass = (event, deliver) => deliver(event);
    for (let i = 0; i < 20; i++) {
      log.commit();
      log.beacon();
    }
    clock.advance(1);
    expect(log.calls).toBe(1);
    await turns();
    expect(log.calls).toBe(1);
  });

  it('ends with its lifetime: no subscription, no timer, no handler is called', async () => {
    const { log, clock, seen, lifetime } = await start();
    log.down = true;
    log.restore('bbbbbbbbbbbbbbbb');
    log.commit();
    await turns();
    await lifetime.close();
    await turns();
    expect(log.subscribed).toBe(false);
    expect(clock.pending).toBe(0);
    log.down = false;
    await turns();
    expect(seen.resyncs).toHaveLength(1);
  });
});

describe('freshness', () => {
  it('is now, always, where commits are synchronous', async () => {
    const { clock, follower } = await start({}, (log) => (log.delivery = 'synchronous'));
    clock.advance(1e9);
    expect(follower.freshAtMs).toBe(clock.nowMs());
  });

  it('follows the beacons that the position reaches', async () => {
    const { clock, log, follower } = await start();
    clock.advance(100);
    log.beacon();
    for (let i = 0; i < 50; i++) {
      clock.advance(100);
      log.commit();
      log.beacon();
      expect(clock.nowMs() - follower.freshAtMs).toBeLessThanOrEqual(150);
    }
  });

  it('is not renewed by beacons that answers and newer ones have overtaken', async () => {
    const { clock, log, follower } = await start();
    const late: Array<() => void> = [];
    log.pass = (event, deliver) => late.push(() => deliver(event));
    const sentMs = Array.from({ length: 30 }, () => {
      clock.advance(100);
      log.beacon();
      return clock.nowMs();
    });
    // A call is answered at once, while all beacons still take three seconds.
    await turns();
    for (const [i, deliver] of late.splice(0).entries()) {
      const before = follower.freshAtMs;
      deliver();
      expect(follower.freshAtMs).toBeLessThanOrEqual(Math.max(before, sentMs[i]!));
      clock.advance(100);
    }
  });

  it('ends when neither beacons nor answers come', async () => {
    const { clock, log, follower } = await start();
    log.down = true;
    const freshAtMs = follower.freshAtMs;
    for (let i = 0; i < 20; i++) {
      clock.advance(500);
      await turns();
    }
    expect(follower.freshAtMs).toBe(freshAtMs);
  });

  it('is not renewed by beacons that lay in a socket', async () => {
    const { clock, log, follower } = await start();
    clock.advance(100);
    log.beacon();
    const thawed: Array<() => void> = [];
    log.pass = (event, deliver) => thawed.push(() => deliver(event));
    log.down = true;
    // The process stands still: events wait in the socket, time goes on.
    for (let i = 0; i < 100; i++) {
      clock.advance(100);
      log.beacon();
    }
    const sentLastMs = clock.nowMs();
    clock.advance(60_000);
    for (const deliver of thawed) deliver();
    expect(follower.freshAtMs).toBeLessThanOrEqual(sentLastMs);
    expect(follower.freshAtMs).toBeGreaterThan(sentLastMs - 300);
  });

  it.each([
    ['back by an hour', -3_600_000],
    ['forward by an hour', 3_600_000],
  ])("comes back after the log's clock is set %s", async (_, shiftMs) => {
    const { clock, log, follower } = await start();
    const beat = async (wallAheadMs: number) => {
      log.wallAheadMs = wallAheadMs;
      for (let i = 0; i < 20; i++) {
        clock.advance(100);
        log.beacon();
        await turns();
        expect(follower.freshAtMs).toBeLessThanOrEqual(clock.nowMs());
      }
    };
    await beat(0);
    await beat(shiftMs);
    const calls = log.calls;
    await beat(shiftMs);
    expect(clock.nowMs() - follower.freshAtMs).toBeLessThanOrEqual(300);
    expect(log.calls).toBe(calls);
    await beat(0);
    expect(clock.nowMs() - follower.freshAtMs).toBeLessThanOrEqual(600);
  });
});

it('over a file log in the same process, hands each commit over before its append resolves', async () => {
  const log = await logs.open();
  const { seen, handlers } = recorder();
  const follower = await follow(log, handlers, { lifetime: newLifetime() });
  for (let i = 0; i < 20; i++) {
    const { position } = await put(log, `k${i}`, 'v');
    expect(follower.position).toEqual(position);
  }
  expect(seen.keys).toHaveLength(20);
  expect(follower.delivery).toBe('synchronous');
});

type Fate = 'pass' | 'drop' | 'twice' | 'later';
type Step =
  | { kind: 'commit'; fate: Fate }
  | { kind: 'beacon' }
  | { kind: 'release' }
  | { kind: 'wait' }
  | { kind: 'down' }
  | { kind: 'up' }
  | { kind: 'restore' }
  | { kind: 'forget' };

it('whatever is lost, doubled, late or out of order: one chain, up to the head', async () => {
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 20,
      arbitrary: fc.record({ kind: fc.constant('commit' as const), fate: fc.constantFrom<Fate>('pass', 'pass', 'drop', 'twice', 'later') }),
    },
    { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('beacon' as const, 'release' as const, 'wait' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('down' as const, 'up' as const, 'restore' as const, 'forget' as const) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80 }), fc.integer({ min: 1, max: 5 }), async (steps, bufferMax) => {
      const { clock, log, seen, follower, lifetime } = await start({ bufferMax }, (log) => (log.pageMax = 4));
      const later: Array<() => void> = [];
      let incarnations = 0;
      for (const { kind, ...rest } of steps) {
        if (kind === 'commit') {
          const { fate } = rest as { fate: Fate };
          log.pass = (event, deliver) => {
            if (fate === 'later') later.push(() => deliver(event));
            else for (let i = 0; i < { pass: 1, drop: 0, twice: 2 }[fate]; i++) deliver(event);
          };
          log.commit();
          log.pass = (event, deliver) => deliver(event);
        } else if (kind === 'beacon') log.beacon();
        else if (kind === 'release') for (const deliver of later.splice(0).reverse()) deliver();
        else if (kind === 'wait') {
          clock.advance(300);
          await turns(3);
        } else if (kind === 'down') log.down = true;
        else if (kind === 'up') log.down = false;
        else if (kind === 'restore') log.restore(String(++incarnations).padStart(16, '0'));
        else log.oldest = log.head.revision;
      }
      log.down = false;
      for (const deliver of later) deliver();
      await settle(clock, log, follower);
      expect(seen.position).toEqual(log.head);
      expect(seen.keys).toEqual(log.commitList.slice(seen.resyncs.at(-1)!.revision).map(({ key }) => key));
      await lifetime.close();
    }),
    { seed: seedFromEnv(), numRuns: 200 },
  );
});
