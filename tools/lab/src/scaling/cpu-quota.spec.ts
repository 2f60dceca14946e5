import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { cpuQuota, throttlingOf, whyNoQuota } from './cpu-quota.js';

describe('what the kernel says of a group', () => {
  it('is read in version 1 and in version 2', () => {
    const expected = { periods: 200, throttled: 31, throttledMs: 412.5 };
    expect(throttlingOf('nr_periods 200\nnr_throttled 31\nthrottled_time 412500000\n')).toEqual(expected);
    expect(throttlingOf('usage_usec 9\nuser_usec 8\nsystem_usec 1\nnr_periods 200\nnr_throttled 31\nthrottled_usec 412500\n')).toEqual(
      expected,
    );
  });
});

describe.skipIf((await whyNoQuota()) !== undefined)('a quota', () => {
  it('stops a process that wants more, and one that is free is not stopped until it is held', async () => {
    const spin = (quota: ReturnType<typeof cpuQuota>) => {
      // Work, and not time: it ends however busy the machine is.
      const { command, args } = quota.launcher(process.execPath, ['-e', 'let n = 0; while (n < 3e8) n++;']);
      expect(spawnSync(command, [...args]).status).toBe(0);
      return quota.throttling();
    };
    const held = cpuQuota('spec-held', 0.25);
    expect(spin(held).throttled).toBeGreaterThan(0);
    await held.remove();
    const free = cpuQuota('spec-free', 0.25, true);
    expect(spin(free).throttled).toBe(0);
    free.hold();
    expect(spin(free).throttled).toBeGreaterThan(0);
    await free.remove();
  });
});
