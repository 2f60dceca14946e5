import { availableParallelism } from 'node:os';
import { systemClock, within } from '@diptych/kernel';
import type { NatsServer, ProcessOptions, RunningProcess } from '@diptych/testing';
import { cpuMsOf, fromSource, keepRecord, seedFromEnv, startNatsServer, startProcess, waitFor } from '@diptych/testing';
import { firstValueFrom } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NatsLink, PortDescriptor } from '../src/index.js';
import { connectNats } from '../src/index.js';
import { DiptychClient, DiptychRecordBuilder } from '../src/nest/index.js';
import { Probe, probePort, type ProbePort } from './probe-port.js';
import { standstillsIn } from './standstills.js';
import { Ejections } from './ejections.js';

/**
 * Routing with real processes: what a caller notices of members that freeze, die, come and go. `npm test` does small sizes, `npm run test:long`
 * (DIPTYCH_LONG=1) ten minutes at full processors and more rounds.
 */
const long = process.env['DIPTYCH_LONG'] === '1';
/** For hangs: rounds are many in full sizes, and machines busy. */
const timeout = long ? 1_800_000 : 120_000;

let broker: NatsServer;
let caller: NatsLink;
let port: ProbePort;
let client: DiptychClient;
let running: RunningProcess[];

beforeEach(async () => {
  broker = await startNatsServer();
  running = [];
  caller = await connectNats({ servers: broker.url, name: 'caller', connectTimeoutMs: 30_000, onFault: () => undefined });
  port = caller.client(probePort);
  client = new DiptychClient({ link: caller });
});

afterEach(async () => {
  await client.close();
  await caller.close(0);
  await Promise.all(running.map((child) => child.stop()));
  await broker.stop();
});

async function start(what: Pick<ProcessOptions, 'command' | 'args' | 'env'>, name: string, ready?: RegExp): Promise<RunningProcess> {
  const child = await startProcess({ ...what, name, ...(ready ? { ready } : {}) });
  running.push(child);
  return child;
}

/** What members serve, and how they are called: both kinds are routed alike. */
interface Kind {
  readonly what: string;
  readonly main: URL;
  echo(text: string, timeoutMs: number): Promise<unknown>;
}

const PORT: Kind = {
  what: 'a port',
  main: new URL('probe-server.ts', import.meta.url),
  echo: (text, timeoutMs) => port.echo({ text }, within(timeoutMs)),
};
const NEST: Kind = {
  what: 'a Nest pattern',
  main: new URL('nest/nest-server.ts', import.meta.url),
  echo: (text, timeoutMs) => firstValueFrom(client.send('probe.echo', new DiptychRecordBuilder(text).setTimeoutMs(timeoutMs).build())),
};
const KINDS = [PORT, NEST];

const startServer = ({ main }: Kind = PORT) => start(fromSource(main, broker.url), 'probe-server', /serving/);

async function startServers(count: number, kind: Kind = PORT): Promise<RunningProcess[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => startServer(kind)));
  await kind.echo('first', 10_000);
  await waitFor(() => caller.routing.members === count, { what: `${count} members` });
  return servers;
}

/** Calls at a steady rate, whatever comes back, and what became of those that were not answered. */
class Load implements Disposable {
  sent = 0;
  answered = 0;
  readonly failures: Array<{ readonly sentMs: number; readonly code: string }> = [];
  readonly #timer: Disposable;

  constructor(
    perSecond: number,
    readonly call: (i: number) => Promise<unknown>,
  ) {
    const startMs = systemClock.nowMs();
    this.#timer = systemClock.every(5, () => {
      while (this.sent < ((systemClock.nowMs() - startMs) * perSecond) / 1_000) this.#send();
    });
  }

  get settled(): boolean {
    return this.answered + this.failures.length === this.sent;
  }

  #send(): void {
    const sentMs = systemClock.nowMs();
    this.call(this.sent++).then(
      () => this.answered++,
      (error: { code: string }) => this.failures.push({ sentMs, code: error.code }),
    );
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }
}

const codeOf = async (call: Promise<unknown>) =>
  call.then(
    () => 'answered',
    (error: { code: string }) => error.code,
  );

describe.each(KINDS)('one of three that serve $what and is stopped', { timeout }, (kind) => {
  it('costs less calls than one second of its share holds, none after that, and is back in two seconds when it goes on', async () => {
    const perSecond = 300;
    for (let round = 0; round < (long ? 10 : 1); round++) {
      const [frozen] = await startServers(3, kind);
      const load = new Load(perSecond, (i) => kind.echo(String(i), 1_500));
      await waitFor(() => load.answered > perSecond / 2);
      const before = caller.routing.ejections;

      const stopMs = systemClock.nowMs();
      await frozen!.kill('SIGSTOP');
      await waitFor(() => caller.routing.ejected === 1, { timeoutMs: 3_000, what: 'the ejection' });
      const outMs = systemClock.nowMs() - stopMs;
      const sent = load.sent;
      await waitFor(() => load.sent > sent + 2 * perSecond);
      load[Symbol.dispose]();
      await waitFor(() => load.settled);
      console.info(`out after ${Math.round(outMs)} ms; ${load.failures.length} of ${load.sent} calls failed`);
      expect(outMs).toBeLessThan(1_500);
      expect(load.failures.length).toBeLessThanOrEqual(perSecond / 3);
      expect(load.failures.filter(({ sentMs }) => sentMs > stopMs + outMs)).toEqual([]);

      const goMs = systemClock.nowMs();
      await frozen!.kill('SIGCONT');
      const lines = frozen!.stdout.length;
      await waitFor(
        async () => {
          await kind.echo('again', 5_000);
          return caller.routing.ejected === 0 && frozen!.stdout.slice(lines).includes('again');
        },
        { timeoutMs: 5_000, what: 'a call at the thawed member' },
      );
      expect(systemClock.nowMs() - goMs).toBeLessThan(2_000);
      expect(caller.routing).toEqual({ members: 3, ejected: 0, ejections: before + 1 });
      await Promise.all(running.splice(0).map((child) => child.stop()));
      await waitFor(() => caller.routing.members === 0, { what: 'that all have left' });
    }
  });
});

describe('one of three that is killed', () => {
  it('loses what it had in flight, which its callers learn within a second, and nothing else', async () => {
    const [killed] = await startServers(3);
    const load = new Load(300, (i) => port.echo({ text: String(i) }, within(30_000)));
    // Held by all three of them.
    const held = Array.from({ length: 30 }, (_, i) => codeOf(port.hold({ id: String(i) }, within(60_000))));
    await waitFor(() => load.answered > 100);
    const killMs = systemClock.nowMs();
    await killed!.kill('SIGKILL');
    const first = await Promise.race(held);
    const lostMs = systemClock.nowMs() - killMs;
    expect(first).toBe('CONNECTION_LOST');
    expect(lostMs).toBeLessThan(1_000);
    await waitFor(() => caller.routing.members === 2);
    const sent = load.sent;
    await waitFor(() => load.sent > sent + 100);
    load[Symbol.dispose]();
    await waitFor(() => load.settled);
    expect(load.failures.map(({ code }) => code).filter((code) => code !== 'CONNECTION_LOST')).toEqual([]);
    expect(load.failures.filter(({ sentMs }) => sentMs > killMs + lostMs)).toEqual([]);
    expect(caller.routing).toEqual({ members: 2, ejected: 0, ejections: 0 });
    // Those of the two others are there still.
    expect(caller.inFlight).toBeGreaterThan(0);
    await caller.close(0);
    const codes = await Promise.all(held);
    expect(new Set(codes)).toEqual(new Set(['CONNECTION_LOST']));
  });

  it('is noticed by its silence alone, when there is no other and nobody calls', async () => {
    const [killed] = await startServers(1);
    const held = codeOf(port.hold({ id: 'x' }, within(60_000)));
    await port.echo({ text: 'there' }, within(5_000));
    const killMs = systemClock.nowMs();
    await killed!.kill('SIGKILL');
    expect(await held).toBe('CONNECTION_LOST');
    expect(systemClock.nowMs() - killMs).toBeLessThan(1_500);
    expect(await codeOf(port.echo({ text: '' }, within(60_000)))).toBe('UNAVAILABLE');
  });
});

describe('members of one process', () => {
  it('take calls again after they drained, one or two of the same port, and each call once', async () => {
    const server = await connectNats({ servers: broker.url, name: 'server' });
    const first = await server.serve(probePort, new Probe().port);
    await waitFor(() => caller.routing.members === 1);
    await first.drain(1_000);
    const probes = [new Probe(), new Probe()];
    await Promise.all(probes.map((probe) => server.serve(probePort, probe.port)));
    await waitFor(() => caller.routing.members === 2);
    await Promise.all(Array.from({ length: 200 }, (_, i) => port.echo({ text: String(i) }, within(5_000))));
    const seen = probes.flatMap((probe) => probe.seen.map(({ text }) => Number(text)));
    expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i));
    expect(Math.min(...probes.map((probe) => probe.seen.length))).toBeGreaterThan(40);
    await server.close(0);
  });
});

describe('a port owned by key', () => {
  const keyed: PortDescriptor<ProbePort> = {
    ...probePort,
    methods: { ...probePort.methods, echo: { ...probePort.methods.echo, routingKey: ({ text }: { text: string }) => text } },
  };

  it('has one owner a key, the same for all callers; when one leaves only its keys move', async () => {
    const servers = await Promise.all(
      Array.from({ length: 3 }, async (_, i) => {
        const link = await connectNats({ servers: broker.url, name: `server ${i}` });
        const probe = new Probe();
        await link.serve(keyed, probe.port);
        return { link, probe };
      }),
    );
    const other = await connectNats({ servers: broker.url, name: 'other' });
    const ports = [caller, other].map((link) => link.client(keyed, { ownedByKey: true }));
    await waitFor(() => caller.routing.members === 3 && other.routing.members === 3);
    const keys = Array.from({ length: 300 }, (_, i) => `key ${i}`);
    const owners = async () => {
      for (const { probe } of servers) probe.seen.length = 0;
      await Promise.all(keys.flatMap((text) => ports.map((each) => each.echo({ text }, within(5_000)))));
      return new Map(servers.flatMap(({ probe }, i) => probe.seen.map(({ text }) => [`${text} at ${i}`, i] as const)));
    };
    const before = await owners();
    expect(before.size).toBe(300);
    await servers[0]!.link.close(1_000);
    await waitFor(() => caller.routing.members === 2 && other.routing.members === 2);
    const after = await owners();
    expect(after.size).toBe(300);
    for (const [owned, owner] of before) expect(after.has(owned)).toBe(owner !== 0);
    await Promise.all([other.close(0), ...servers.map(({ link }) => link.close(0))]);
  });
});

describe.each(KINDS)('a rolling restart of two members that serve $what', { timeout }, (kind) => {
  it('under load loses no call', async () => {
    let servers = await startServers(2, kind);
    const load = new Load(1_000, (i) => kind.echo('x'.repeat(i % 200), 10_000));
    await waitFor(() => load.answered > 500);
    for (let round = 0; round < (long ? 20 : 2); round++) {
      for (let i = 0; i < 2; i++) {
        const next = await startServer(kind);
        await waitFor(() => caller.routing.members === 3);
        expect(await servers[i]!.stop(20_000)).toEqual({ code: 0, signal: null });
        servers = servers.with(i, next);
      }
      const { answered } = load;
      await waitFor(() => load.answered > answered + 200);
    }
    load[Symbol.dispose]();
    await waitFor(() => load.settled);
    expect(load.failures).toEqual([]);
    expect(caller.routing.ejections).toBe(0);
  });
});

describe('at full processors', () => {
  it(
    'nobody is ejected that runs, though this loop blocks, members pause as for a collection, handlers are slow and the broker restarts',
    { timeout },
    async () => {
      using watch = new Ejections();
      const servers = await startServers(3);
      for (let i = 0; i < availableParallelism(); i++) await start({ command: process.execPath, args: ['-e', 'for (;;);'] }, 'burner');
      const slow = Array.from({ length: 20 }, (_, i) => codeOf(port.hold({ id: `slow ${i}` }, within(900_000))));
      const load = new Load(2_000, (i) => port.produce({ bytes: i % 5_000 }, within(5_000)));
      const seed = seedFromEnv();
      const random = seeded(seed);
      const pids = [process.pid, broker.pid, ...running.map(({ pid }) => pid)];
      const cpuMs = cpuMsOf(pids);
      const startMs = systemClock.nowMs();
      const endMs = startMs + (long ? 600_000 : 6_000);
      const steps = { blocked: 0, paused: 0, restarts: 0 };
      while (systemClock.nowMs() < endMs) {
        await pause(random() * 500);
        const kind = random();
        if (kind < 0.4) {
          steps.blocked++;
          block(random() * 1_500);
        } else if (kind < 0.8) {
          steps.paused++;
          const server = servers[Math.floor(random() * 3)]!;
          await server.kill('SIGSTOP');
          await pause(random() * 250);
          await server.kill('SIGCONT');
        } else if (kind < 0.85) {
          steps.restarts++;
          await broker.restart();
        }
      }
      load[Symbol.dispose]();
      const { ejections } = caller.routing;
      const processorsMs = (systemClock.nowMs() - startMs) * availableParallelism();
      const share = cpuMs === undefined ? 0 : (cpuMsOf(pids)! - cpuMs) / processorsMs;
      await caller.close(0);
      await Promise.all(slow);
      await waitFor(() => load.settled);
      // What they have to say of it they have said when they end.
      await Promise.all(servers.map((server) => server.stop(60_000)));
      const stoodStill = new Map(servers.map(({ stdout }) => [/^serving as (\S+)/m.exec(stdout)![1]!, standstillsIn(stdout)]));
      const standstills = [...stoodStill.values()].flat().length;
      const { answered, failures } = load;
      const record = {
        seed,
        ms: systemClock.nowMs() - startMs,
        ...steps,
        answered,
        failed: failures.length,
        ejections,
        standstills,
        share,
      };
      console.info(JSON.stringify(record));
      if (long) keepRecord('live-routes', { at: new Date().toISOString(), ...record });
      expect(answered).toBeGreaterThan(0);
      expect(watch.noted).toHaveLength(ejections);
      // Where others took the processors from us a member may get none for a second, and is rightly out: it says itself that it stood still while it was silent.
      const wrong = watch.noted.filter(
        ({ instance, beginMs, endMs }) => !stoodStill.get(instance)?.some((span) => span.beginMs < endMs && span.endMs > beginMs),
      );
      expect(share > OURS_ALONE ? watch.noted : wrong).toEqual([]);
    },
  );
});

/** Of all the time there was, on a machine that does nothing else; the restarted broker is not counted. */
const OURS_ALONE = 0.85;

/** The loop turns and nothing happens: what comes meanwhile is the test. */
const pause = (ms: number) => new Promise<void>((resolve) => systemClock.after(ms, resolve));

function block(ms: number): void {
  const endMs = systemClock.nowMs() + ms;
  while (systemClock.nowMs() < endMs);
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
