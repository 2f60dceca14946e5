import { readFileSync } from 'node:fs';
import { SERVICES, startProcess, type AppProcess, type RunningProcess } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import { CACHE_MAX_STALE_SECONDS } from './dependency-table.js';
import { asRunningArm, killProvably, type Startable } from './start-arm.js';

const sleeper = () =>
  startProcess({ command: process.execPath, args: ['-e', 'console.log("up"); setInterval(() => {}, 1e6)'], ready: /up/ });

describe('the proof that a part was killed', () => {
  it('is given of a process that ran and ended by SIGKILL', async () => {
    await using victim = await sleeper();
    expect(await killProvably('log', victim)).toEqual({ proof: expect.stringContaining('log: ended by SIGKILL') as string });
  });

  it('is not given of one that had ended by itself', async () => {
    await using victim = await startProcess({ command: process.execPath, args: ['-e', ''] });
    await victim.exited;
    expect(await killProvably('log', victim)).toEqual({ whyNot: 'log had ended by itself before it was killed' });
  });

  it('is not given of one that ended otherwise, or not at all', async () => {
    await using other = await sleeper();
    expect(await killProvably('log', other, 'SIGTERM')).toEqual({ whyNot: 'log ended with SIGTERM, not by being killed' });
    await using still = await sleeper();
    expect(await killProvably('log', still, 'SIGCONT')).toEqual({ whyNot: 'log was killed and is still there' });
  });
});

describe.runIf(process.platform === 'linux')('what an arm costs', () => {
  function armOf(log: RunningProcess, broker: { pid: number }): Startable {
    return {
      spec: SERVICES,
      get pids() {
        return log.exit ? [] : [log.pid];
      },
      broker: broker as Startable['broker'],
      url: '',
      process: () => log as unknown as AppProcess,
      holding: (part) => part,
      restart: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  it('has the broker in it, and what a killed part had used', async () => {
    await using log = await sleeper();
    const alone = asRunningArm('services', armOf(log, { pid: 2 ** 22 + 1 }), 1);
    const withBroker = asRunningArm('services', armOf(log, { pid: process.pid }), 1);
    expect((await withBroker.usage()).rssBytes).toBeGreaterThan((await alone.usage()).rssBytes! * 1.2);
    expect(await withBroker.cpuMs()).toBeGreaterThan((await alone.cpuMs())!);
    expect(withBroker).toMatchObject({ processes: 4, ports: 4, settings: 3 });
    const before = (await alone.cpuMs())!;
    await alone.kill('log');
    expect(before).toBeGreaterThan(0);
    expect(await alone.cpuMs()).toBeGreaterThanOrEqual(before);
  });
});

it('expects of the cache what it is set to by default', () => {
  const line = readFileSync('docs/reference/config.md', 'utf8')
    .split('\n')
    .find((each) => each.includes('DIPTYCH_CACHE_MAX_STALE_MS'));
  expect(line?.replaceAll(',', '')).toContain(String(CACHE_MAX_STALE_SECONDS * 1000));
});
