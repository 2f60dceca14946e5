import { seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Heartbeat } from '../src/nats/routing/heartbeat.js';
import { LiveRoutes } from '../src/nats/routing/live-routes.js';
import type { Destination } from '../src/nats/routing/routes.js';
import { FakeBroker, type FakeProcess } from './fake-broker.js';

/** Members, rounds and beats together, on a clock that tests move: what is taken for a failure, how soon, and what is not. */
const port = { name: 'probe', version: 1 };

interface Server {
  readonly name: string;
  readonly process: FakeProcess;
  readonly heartbeat: Heartbeat;
}

class World {
  readonly broker = new FakeBroker();
  readonly servers: Server[] = [];
  readonly client = this.broker.join();
  readonly lost: Destination[] = [];
  readonly routes: LiveRoutes;
  readonly random: () => number;

  constructor(servers: number, seed = 1) {
    this.random = seeded(seed);
    for (let i = 0; i < servers; i++) this.serve(`s${i}`);
    this.routes = this.newClient(this.client);
    this.pass(1_000);
  }

  serve(name: string): Server {
    const process = this.broker.join();
    const heartbeat = new Heartbeat(port, process, { instance: name, inFlight: () => 0, clock: process, random: this.random });
    const server = { name, process, heartbeat };
    this.servers.push(server);
    heartbeat.start();
    return server;
  }

  newClient(process: FakeProcess): LiveRoutes {
    return new LiveRoutes(port, process, { clock: process, random: this.random, onLost: (destination) => this.lost.push(destination) });
  }

  pass(ms: number): void {
    this.broker.clock.advance(ms);
  }

  /** Names of those that calls go to now, `anyone` for the queue group. */
  open(routes = this.routes): string[] {
    const names = new Set<string>();
    for (let i = 0; i < 100; i++) names.add(nameOf(routes.choose(undefined)));
    return [...names].sort();
  }

  /** Lets time pass until `condition` holds. Its milliseconds. */
  until(condition: () => boolean, withinMs: number): number {
    const startMs = this.broker.clock.nowMs();
    while (!condition()) {
      if (this.broker.clock.nowMs() - startMs > withinMs) throw new Error(`not within ${withinMs} ms`);
      this.pass(5);
    }
    return this.broker.clock.nowMs() - startMs;
  }
}

function nameOf(destination: Destination): string {
  const subject = destination.subjectOf('get');
  return subject === 'diptych.probe.v1.get' ? 'anyone' : subject.slice('diptych.probe.v1.get.'.length);
}

/** mulberry32 */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const property = <T extends [unknown, ...unknown[]]>(
  runs: number,
  arbitraries: { [I in keyof T]: fc.Arbitrary<T[I]> },
  check: (...values: T) => void,
) =>
  fc.assert(fc.property<T>(...arbitraries, check), { seed: seedFromEnv(), numRuns: runs * (process.env['DIPTYCH_LONG'] === '1' ? 50 : 1) });

describe('members', () => {
  it('are known to a new client after one exchange with the broker', () => {
    const world = new World(3);
    const late = world.newClient(world.broker.join());
    expect(world.open(late)).toEqual(['anyone']);
    world.pass(1);
    expect(world.open(late)).toEqual(['s0', 's1', 's2']);
  });

  it('are known to all clients as soon as they serve', () => {
    const world = new World(1);
    world.serve('new');
    world.pass(1);
    expect(world.open()).toEqual(['new', 's0']);
  });

  it('get no more calls as soon as they drain, and are gone when they have left', () => {
    const world = new World(3);
    const [first] = world.servers;
    first!.heartbeat.drain();
    world.pass(1);
    expect(world.open()).toEqual(['s1', 's2']);
    // Beats go on, so that whoever waits for its last answers knows that it is there.
    world.pass(60_000);
    expect(world.routes.counts).toMatchObject({ members: 3, ejected: 0 });
    expect(world.lost).toEqual([]);
    first!.heartbeat.end();
    world.pass(5);
    expect(world.routes.counts).toMatchObject({ members: 2, ejected: 0, ejections: 0 });
  });

  it('leave the calls to the queue group when all of them drain', () => {
    const world = new World(2);
    for (const { heartbeat } of world.servers) heartbeat.drain();
    world.pass(1);
    expect(world.open()).toEqual(['anyone']);
  });

  it('that are killed are gone when the broker says so: by a refused call at once, by their silence in half a second', () => {
    const world = new World(3);
    const [first, second] = world.servers;
    first!.process.disconnect();
    first!.process.freeze();
    const destination = untilChosen(world, first!.name);
    destination.refused();
    expect(world.open()).toEqual(['s1', 's2']);
    const byRefusal = world.until(() => world.lost.includes(destination), 1_000);
    expect(byRefusal).toBeLessThanOrEqual(5);
    second!.process.disconnect();
    second!.process.freeze();
    const bySilence = world.until(() => world.lost.length === 2, 1_000);
    expect(bySilence).toBeLessThanOrEqual(400);
    expect(world.open()).toEqual(['s2']);
    expect(world.routes.counts).toEqual({ members: 1, ejected: 0, ejections: 0 });
  });

  it('that lose their connection for a moment are back with their first beat', () => {
    const world = new World(2);
    world.servers[0]!.process.disconnect();
    world.until(() => world.lost.length === 1, 1_000);
    world.servers[0]!.process.reconnect();
    world.pass(1);
    expect(world.open()).toEqual(['s0', 's1']);
  });

  it('are not taken for serving because of an old beat, or because of garbage', () => {
    const world = new World(2);
    const old: Uint8Array[] = [];
    const listening = world.broker.join().subscribe('diptych.probe.v1._members', ({ data }) => old.push(data));
    world.pass(400);
    listening[Symbol.dispose]();
    for (const { heartbeat } of world.servers) heartbeat.drain();
    const stranger = world.broker.join();
    for (const data of [...old, new Uint8Array(0), new Uint8Array([0xd5, 0]), new Uint8Array(40).fill(0xd5)])
      stranger.publish('diptych.probe.v1._members', data);
    world.pass(10);
    expect(old.length).toBeGreaterThan(2);
    expect(world.open()).toEqual(['anyone']);
  });

  it('are bounded in number, whoever claims to be one', () => {
    const world = new World(0);
    for (let i = 0; i < 1_000; i++) world.serve(`s${i}`);
    world.pass(1);
    expect(world.routes.counts.members).toBe(256);
  });
});

describe('a frozen member', () => {
  it('is out within a second and back with its first beat, whenever it freezes', () => {
    property(
      60,
      [fc.integer({ min: 2, max: 12 }), fc.nat(), fc.nat(2_000), fc.integer({ min: 1_500, max: 40_000 })],
      (servers, seed, afterMs, forMs) => {
        const world = new World(servers, seed);
        world.pass(afterMs);
        const frozen = world.servers[seed % servers]!;
        frozen.process.freeze();
        const outMs = world.until(() => !world.open().includes(frozen.name), 1_500);
        expect(outMs).toBeLessThanOrEqual(1_000);
        world.pass(forMs);
        expect(world.open()).toHaveLength(servers - 1);
        frozen.process.thaw();
        world.pass(1);
        expect(world.open()).toHaveLength(servers);
        expect(world.routes.counts).toEqual({ members: servers, ejected: 0, ejections: 1 });
        expect(world.lost).toEqual([]);
      },
    );
  });

  it('is forgotten after a minute, and known again when it thaws', () => {
    const world = new World(3);
    world.servers[0]!.process.freeze();
    world.pass(70_000);
    expect(world.routes.counts.members).toBe(2);
    world.servers[0]!.process.thaw();
    world.pass(1);
    expect(world.open()).toEqual(['s0', 's1', 's2']);
  });

  it('that pauses often is allowed twice what it does usually, and no more than that for ever', () => {
    const world = new World(3);
    const [pausing] = world.servers;
    const pauseFor = (ms: number) => {
      pausing!.process.freeze();
      world.pass(ms);
      pausing!.process.thaw();
      world.pass(1_000 * world.random() + 300);
    };
    for (let i = 0; i < 10; i++) pauseFor(580);
    pauseFor(850);
    expect(world.routes.counts.ejections).toBe(0);
    world.pass(300_000);
    pauseFor(1_000);
    expect(world.routes.counts.ejections).toBe(1);
  });

  it('is in while nobody else is heard either', () => {
    const world = new World(4);
    for (const { process } of world.servers) process.freeze();
    world.pass(20_000);
    expect(world.open()).toHaveLength(4);
    world.servers[0]!.process.thaw();
    world.pass(200);
    expect(world.open()).toContain('s0');
    expect(world.routes.counts).toEqual({ members: 4, ejected: 2, ejections: 2 });
  });

  it('that is the only one stays in', () => {
    const world = new World(1);
    world.servers[0]!.process.freeze();
    world.pass(30_000);
    expect(world.open()).toEqual(['s0']);
    expect(world.routes.counts.ejections).toBe(0);
  });
});

describe('nobody is taken for frozen', () => {
  type Trouble = readonly ['client' | 'machine' | 'broker' | 'restart' | 'member' | 'starved', number, number];
  const trouble: fc.Arbitrary<Trouble> = fc.tuple(
    fc.constantFrom('client', 'machine', 'broker', 'restart', 'member', 'starved'),
    fc.integer({ min: 1, max: 20_000 }),
    fc.nat(1_500),
  );

  function cause(world: World, [what, ms, seed]: Trouble): void {
    const random = seeded(seed);
    const { broker, client, servers } = world;
    switch (what) {
      case 'client':
        client.freeze();
        world.pass(ms);
        return client.thaw();
      case 'machine': {
        const all = [...broker.processes].sort(() => random() - 0.5);
        for (const process of all) process.freeze();
        world.pass(ms);
        // They are scheduled again one after the other.
        for (const process of all) {
          process.thaw();
          world.pass(random() * 30);
        }
        return;
      }
      case 'broker':
        broker.stall();
        world.pass(ms);
        return broker.goOn();
      case 'restart': {
        broker.restart();
        const all = [...broker.processes].sort(() => random() - 0.5);
        for (const process of all) {
          world.pass(random() * 1_000);
          process.reconnect();
        }
        return;
      }
      case 'member': {
        // A long collection of garbage.
        const { process } = servers[seed % servers.length]!;
        process.freeze();
        world.pass(Math.min(ms, 450));
        return process.thaw();
      }
      case 'starved': {
        // Processors are short: each runs for a little while now and then.
        const endMs = broker.clock.nowMs() + ms;
        while (broker.clock.nowMs() < endMs) {
          for (const process of broker.processes) if (random() < 0.7) process.freeze();
          world.pass(random() * 60);
          for (const process of broker.processes) process.thaw();
          world.pass(random() * 5);
        }
      }
    }
  }

  it('whatever stalls: the caller, its machine, the broker, a collection of garbage, all for want of processors', () => {
    property(
      60,
      [fc.integer({ min: 2, max: 6 }), fc.nat(), fc.array(trouble, { minLength: 1, maxLength: 12 })],
      (servers, seed, troubles) => {
        const world = new World(servers, seed);
        for (const one of troubles) {
          cause(world, one);
          expect(world.routes.counts.ejections, one.join(' ')).toBe(0);
          world.pass(5 + (seed % 3_000));
          expect(world.routes.counts.ejections, `after ${one.join(' ')}`).toBe(0);
          expect(world.open()).toHaveLength(servers);
        }
        // And the one that is frozen next is out as soon as ever: nothing of that made the caller blind.
        world.servers[0]!.process.freeze();
        expect(world.until(() => !world.open().includes('s0'), 3_000)).toBeLessThanOrEqual(2_500);
      },
    );
  });
});

describe('ejection', () => {
  it('never takes the last one nor more than half, whoever freezes, thaws, drains, dies or comes', () => {
    const step = fc.tuple(fc.constantFrom('freeze', 'thaw', 'drain', 'kill', 'serve'), fc.nat(20), fc.nat(1_500));
    property(60, [fc.integer({ min: 1, max: 8 }), fc.nat(), fc.array(step, { maxLength: 30 })], (servers, seed, steps) => {
      const world = new World(servers, seed);
      const left = new Set<string>();
      for (const [what, which, ms] of steps) {
        const server = world.servers[which % world.servers.length]!;
        if (what === 'freeze') server.process.freeze();
        else if (what === 'thaw' && server.process.status === 'connected') server.process.thaw();
        else if (what === 'serve') world.serve(`n${world.servers.length}`);
        else if (what === 'drain') server.heartbeat.drain();
        else if (what === 'kill') {
          server.process.disconnect();
          server.process.freeze();
          left.add(server.name);
        }
        for (let passed = 0; passed < ms; passed += 50) {
          world.pass(50);
          const { members, ejected } = world.routes.counts;
          expect(ejected).toBeLessThanOrEqual(Math.floor(members / 2));
        }
      }
      world.pass(1_000);
      expect(world.open().filter((name) => left.has(name))).toEqual([]);
    });
  });
});

describe('the cost of it', () => {
  it('is some messages in ten seconds for a caller, and beats end when nobody listens', () => {
    const world = new World(3);
    world.pass(30_000);
    const sent = world.client.sent;
    world.pass(60_000);
    expect(world.client.sent - sent).toBeLessThanOrEqual(10);
    world.routes.close();
    world.pass(20_000);
    const beats = world.servers.map(({ process }) => process.sent);
    world.pass(60_000);
    expect(world.servers.map(({ process }) => process.sent)).toEqual(beats);
    // And they begin anew for the next one.
    const next = world.newClient(world.broker.join());
    world.pass(5_000);
    expect(world.open(next)).toEqual(['s0', 's1', 's2']);
    expect(next.counts.ejections).toBe(0);
  });

  it('is some 80 beats a second, however many instances there are, and a few asks, however many callers', () => {
    const world = new World(48);
    const clients = Array.from({ length: 10 }, () => world.broker.join());
    for (const client of clients) world.newClient(client);
    world.pass(30_000);
    const beats = sum(world.servers.map(({ process }) => process.sent));
    const asks = sum(clients.map(({ sent }) => sent));
    world.pass(30_000);
    // Answers to asks are among what is sent.
    expect((sum(world.servers.map(({ process }) => process.sent)) - beats) / 30).toBeLessThanOrEqual(90);
    expect((sum(clients.map(({ sent }) => sent)) - asks) / 30).toBeLessThanOrEqual(2);
    expect(world.routes.counts.ejections).toBe(0);
    world.servers[0]!.process.freeze();
    expect(world.until(() => world.routes.counts.ejected === 1, 5_000)).toBeLessThanOrEqual(3_000);
  });

  it('leaves no timer and no subscription behind', () => {
    const world = new World(3);
    world.routes.close();
    for (const { heartbeat } of world.servers) heartbeat.end();
    world.pass(10);
    expect(world.broker.clock.pending).toBe(0);
    expect(world.broker.processes.some((process) => process.listensTo('diptych.probe.v1._members'))).toBe(false);
    expect(world.broker.processes.some((process) => process.listensTo('diptych.probe.v1._members.ask'))).toBe(false);
  });
});

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

function untilChosen(world: World, name: string): Destination {
  for (let i = 0; i < 1_000; i++) {
    const destination = world.routes.choose(undefined);
    if (nameOf(destination) === name) return destination;
  }
  throw new Error(`${name} is not chosen`);
}
