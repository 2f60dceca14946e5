import { setImmediate as turn } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { ContainerFleet } from './container-fleet.js';
import type { GroupUse } from './control-group.js';
import type { Counts, ScaledArmName } from './fleet.js';

interface Container {
  readonly id: string;
  readonly service: string;
  readonly name: string;
  isRunning: boolean;
  exitCode: number;
}

const USE: GroupUse = { cpuMs: 100, memoryBytes: 1_000, throttling: { periods: 9, throttled: 3, throttledMs: 9 } };

/** As much of an engine, of compose and of a balancer as the driver uses; it keeps a journal of what was changed. */
class MadeUpEngine {
  readonly journal: string[] = [];
  readonly containers: Container[] = [];
  /** How whoever is told to stop ends. */
  exitCode = 0;
  /** Processes that have ended by themselves. */
  readonly ended = new Set<number>();
  /** Processes whose group is not to be read. */
  readonly unreadable = new Set<number>();
  /** What the balancer answers to a drain, if it does not. */
  stuck: Error | undefined;
  /** What compose says after it has made what was asked for, if it fails. */
  failsUp: Error | undefined;
  /** What the balancer says to who is to get requests, if it does not. */
  failsAdmit: Error | undefined;
  /** Services of which compose makes none. */
  barren = '';
  #made = 0;

  readonly docker = async (args: readonly string[]): Promise<string> => {
    await turn();
    const [command] = args;
    if (command === 'compose') return this.#compose(args);
    if (command === 'ps') {
      const service = /service=(.*)/.exec(args.at(-1)!)![1]!;
      return this.containers.flatMap((each) => (each.service === service ? [`${each.id}\n`] : [])).join('');
    }
    if (command === 'inspect') return JSON.stringify(args.slice(1).map((id) => inspected(this.#find(id))));
    const container = this.#find(args.at(-1)!);
    this.journal.push(`${command} ${container.name}`);
    if (command === 'stop') Object.assign(container, { isRunning: false, exitCode: this.exitCode });
    else if (command === 'rm' && (!container.isRunning || args.includes('--force')))
      this.containers.splice(this.containers.indexOf(container), 1);
    else throw new Error(`docker ${args.join(' ')}: not while it is like this`);
    return '';
  };

  readonly balancerAt = (url: string) => ({
    url,
    isThere: () => Promise.resolve(true),
    slots: () => Promise.resolve([]),
    admit: async (slot: number, port: number, address?: string) => {
      this.journal.push(`admit ${slot} ${address}:${port}`);
      if (this.failsAdmit) throw this.failsAdmit;
    },
    drain: async (slot: number) => {
      this.journal.push(`drain ${slot}`);
      if (this.stuck) throw this.stuck;
    },
    expel: async (slot: number) => void this.journal.push(`expel ${slot}`),
    untilWarm: () => Promise.resolve(),
  });

  #find(id: string): Container {
    const found = this.containers.find((each) => each.id === id);
    if (!found) throw new Error(`no such container: ${id}`);
    return found;
  }

  #compose(args: readonly string[]): string {
    const at = args.indexOf('up');
    if (at < 0) {
      this.journal.push('down');
      this.containers.splice(0);
      return '';
    }
    const counts = new Map(args.flatMap((arg, i) => (args[i - 1] === '--scale' ? [arg.split('=') as [string, string]] : [])));
    const services = args.slice(at + 1).filter((arg, i, all) => !arg.startsWith('--') && all[i - 1] !== '--scale');
    if (!args.includes('--no-deps')) services.push('nats');
    // As the real one: it starts what there is too little of, whoever stopped it.
    const stopped = this.containers.find(({ isRunning, service }) => !isRunning && services.includes(service));
    if (stopped) throw new Error(`compose starts ${stopped.name} again`);
    this.journal.push(`up ${[...counts].map((each) => each.join('=')).join(' ')}`);
    for (const service of services.filter((each) => each !== this.barren))
      for (let have = this.containers.filter((each) => each.service === service).length; have < Number(counts.get(service) ?? 1); have++) {
        const number = ++this.#made;
        this.containers.push({ id: `id${number}`, service, name: `${service}-${number}`, isRunning: true, exitCode: 0 });
      }
    if (this.failsUp) throw this.failsUp;
    return '';
  }
}

function inspected({ id, name, exitCode }: Container) {
  const address = `10.0.0.${id.slice(2)}`;
  return {
    Id: id,
    Name: `/test-${name}`,
    State: { ExitCode: exitCode, Pid: Number(id.slice(2)) },
    NetworkSettings: { Networks: { test_edge: { IPAddress: address } } },
  };
}

describe('a fleet of containers', () => {
  let engine: MadeUpEngine;
  beforeEach(() => void (engine = new MadeUpEngine()));
  const started = async (arm: ScaledArmName, counts: Counts) => {
    const { docker, balancerAt } = engine;
    const groupUseOf = (pid: number) => {
      if (engine.ended.has(pid)) throw Object.assign(new Error(`there is no process ${pid}`), { code: 'ESRCH' });
      if (engine.unreadable.has(pid)) throw new Error('EACCES: permission denied');
      return USE;
    };
    const options = { project: 'test', docker, balancerAt, groupUseOf, isReady: () => Promise.resolve(true) };
    const fleet = await ContainerFleet.start(arm, counts, options);
    engine.journal.splice(0, engine.journal.findIndex((line) => line.startsWith('up')) + 1);
    return fleet;
  };

  it('takes in what compose started, the edge last, and is all gone in the end', async () => {
    const fleet = await started('services-scaled', { gateway: 2, cache: 2 });
    expect(engine.journal).toEqual(['admit 1 10.0.0.5:8080', 'admit 2 10.0.0.6:8080']);
    expect(fleet.serving('cache').map(({ name }) => name)).toEqual(['cache-3', 'cache-4']);
    expect(fleet.serving('gateway').map(({ url }) => url)).toEqual(['http://10.0.0.5:8080', 'http://10.0.0.6:8080']);
    expect((await fleet.use()).map(({ pool }) => pool).sort()).toEqual([
      'balancer',
      'broker',
      'cache',
      'cache',
      'gateway',
      'gateway',
      'log',
    ]);
    await fleet[Symbol.asyncDispose]();
    expect(engine.journal.at(-1)).toBe('down');
  });

  it('asks compose for one more, and gives it requests when it is ready', async () => {
    const fleet = await started('monolith-replicas', {});
    engine.journal.splice(0);
    const added = await fleet.add('replica');
    expect(engine.journal).toEqual(['up monolith-replica=2', `admit 2 ${new URL(added.url).host}`]);
    expect(fleet.serving('replica').at(-1)).toBe(added);
    await fleet[Symbol.asyncDispose]();
  });

  it('drains at the balancer, then stops, then removes; its place and what it used are kept', async () => {
    const fleet = await started('services-scaled', { gateway: 2 });
    const cpuMs = await fleet.cpuMs();
    engine.journal.splice(0);
    const [oldest] = fleet.serving('gateway');
    await fleet.remove(oldest!);
    expect(engine.journal).toEqual(['drain 1', `stop ${oldest!.name}`, `rm ${oldest!.name}`]);
    expect(await fleet.cpuMs()).toBe(cpuMs);
    expect(await fleet.memoryBytes()).toBe(5 * USE.memoryBytes);
    expect((await fleet.add('gateway')).slot).toBe(1);
    await fleet[Symbol.asyncDispose]();
  });

  it('never lets compose see a container that is stopped and not yet removed', async () => {
    const fleet = await started('services-scaled', { cache: 3 });
    const [first, second] = fleet.serving('cache');
    await Promise.all([fleet.remove(first!), fleet.add('cache'), fleet.remove(second!), fleet.add('cache')]);
    expect(fleet.serving('cache')).toHaveLength(3);
    expect(engine.containers.filter(({ service }) => service === 'cache')).toHaveLength(3);
    await fleet[Symbol.asyncDispose]();
  });

  it('says of one that did not end cleanly how it ended, and is rid of it', async () => {
    const fleet = await started('services-scaled', {});
    engine.exitCode = 137;
    await expect(fleet.remove(fleet.serving('cache')[0]!)).rejects.toThrow(/cache-\d+ ended with 137 instead of draining/);
    expect(engine.containers.some(({ service }) => service === 'cache')).toBe(false);
    await fleet[Symbol.asyncDispose]();
  });

  it('has one fewer when one ends by itself, and keeps what that had used', async () => {
    const fleet = await started('services-scaled', { gateway: 2 });
    const cpuMs = await fleet.cpuMs();
    engine.journal.splice(0);
    const [oldest, younger] = fleet.serving('gateway');
    engine.ended.add(oldest!.pid);
    expect(await fleet.cpuMs()).toBe(cpuMs);
    expect(fleet.serving('gateway')).toEqual([younger]);
    expect(fleet.endedByThemselves()).toEqual([{ name: oldest!.name, pool: 'gateway', how: `its process (${oldest!.pid}) is gone` }]);
    expect((await fleet.use()).every((each) => each.cpuMs >= 0)).toBe(true);
    expect(await fleet.cpuMs()).toBe(cpuMs);
    await fleet[Symbol.asyncDispose]();
    expect(engine.journal).toEqual(['expel 1', `stop ${oldest!.name}`, `rm ${oldest!.name}`, 'down']);
  });

  it('takes nobody in whose group it cannot read, and calls nobody ended for that; what has ended has no memory', async () => {
    engine.unreadable.add(2);
    await expect(started('services-scaled', {})).rejects.toThrow('EACCES');
    expect(engine.journal.at(-1)).toBe('down');
    engine = new MadeUpEngine();
    const fleet = await started('services-scaled', { gateway: 2 });
    const [first, second] = fleet.serving('gateway');
    engine.unreadable.add(first!.pid);
    expect(() => fleet.serving('gateway')).toThrow('EACCES');
    engine.unreadable.clear();
    expect(fleet.serving('gateway')).toEqual([first, second]);
    engine.ended.add(second!.pid);
    expect(await fleet.memoryBytes()).toBeNaN();
    await fleet[Symbol.asyncDispose]();
  });

  it('ends one that cannot be drained, and frees its place; one that is not its own it does not remove', async () => {
    const fleet = await started('services-scaled', { gateway: 2 });
    const [first, second] = fleet.serving('gateway');
    engine.journal.splice(0);
    engine.stuck = new Error('no answer within 30000 ms');
    await expect(fleet.remove(first!)).rejects.toThrow('no answer within 30000 ms');
    expect(engine.journal).toEqual(['drain 1', 'expel 1', `stop ${first!.name}`, `rm ${first!.name}`]);
    await expect(fleet.remove(first!)).rejects.toThrow(RangeError);
    expect(fleet.serving('gateway')).toEqual([second]);
    expect((await fleet.add('gateway')).slot).toBe(1);
    await fleet[Symbol.asyncDispose]();
  });

  it('leaves nothing of one that compose made and failed all the same, and no place to one that the balancer did not take', async () => {
    const fleet = await started('services-scaled', {});
    const before = engine.containers.map(({ name }) => name);
    engine.failsUp = new Error('no answer within 120000 ms');
    await expect(fleet.add('gateway')).rejects.toThrow('no answer within 120000 ms');
    expect(engine.containers.map(({ name }) => name)).toEqual(before);
    engine.failsUp = undefined;
    engine.failsAdmit = new Error('not UP within 60000 ms');
    engine.journal.splice(0);
    await expect(fleet.add('gateway')).rejects.toThrow('not UP within 60000 ms');
    expect(engine.journal.filter((line) => /^(admit|expel)/.test(line))).toEqual([expect.stringMatching(/^admit 2 /), 'expel 2']);
    expect(engine.containers.map(({ name }) => name)).toEqual(before);
    engine.failsAdmit = undefined;
    expect((await fleet.add('gateway')).slot).toBe(2);
    await fleet[Symbol.asyncDispose]();
  });

  it('removes one that is to be discarded at once, and frees its place; what it used is kept', async () => {
    const fleet = await started('services-scaled', { gateway: 2 });
    const cpuMs = await fleet.cpuMs();
    const [first, second] = fleet.serving('gateway');
    engine.journal.splice(0);
    await fleet.discard(first!);
    expect(engine.journal).toEqual(['expel 1', `rm ${first!.name}`]);
    expect([fleet.serving('gateway'), fleet.endedByThemselves(), await fleet.cpuMs()]).toEqual([[second], [], cpuMs]);
    expect((await fleet.add('gateway')).slot).toBe(1);
    await fleet[Symbol.asyncDispose]();
  });

  it('leaves nothing behind when it cannot start', async () => {
    engine.barren = 'scaling-balancer';
    await expect(started('services-scaled', {})).rejects.toThrow('compose started no scaling-balancer');
    expect(engine.journal.at(-1)).toBe('down');
    expect(engine.containers).toEqual([]);
  });
});
