import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

describe('the closing line of a real Vitest run', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(resolve('node_modules/.closing-line-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('counts what passed, failed and was skipped', () => {
    const { lastLine, status } = run(
      `test('a', () => {}); test('b', () => {}); test('c', () => expect(1).toBe(2)); test.skip('d', () => {});`,
    );
    expect([lastLine, status]).toEqual(['2 passed, 1 failed, 1 skipped', 1]);
  });
  it('names no skipped tests when there are none', () => {
    expect(run(`test('a', () => {});`)).toMatchObject({ lastLine: '1 passed, 0 failed', status: 0 });
  });
  it('counts a file that does not load as failed', () => {
    expect(run(`throw new Error('does not load');`)).toMatchObject({ lastLine: '0 passed, 1 failed', status: 1 });
  });
  it('counts a hook that throws as failed, beside a test that fails', () => {
    const source = `describe('x', () => { beforeAll(() => { throw new Error('hook'); }); test('a', () => {}); }); test('b', () => expect(1).toBe(2));`;
    expect(run(source)).toMatchObject({ lastLine: '0 passed, 2 failed, 1 skipped', status: 1 });
  });
  it('counts an error outside all tests as failed', () => {
    const source = `test('a', () => { setTimeout(() => { throw new Error('late'); }, 0); return new Promise((r) => setTimeout(r, 50)); });`;
    expect(run(source)).toMatchObject({ lastLine: '1 passed, 1 failed', status: 1 });
  });
  it('is no success when a filter matches nothing', () => {
    expect(run(`test('a', () => {});`, ['no-such-file'])).toMatchObject({ lastLine: '0 passed, 1 failed', status: 1 });
  });
  it('is no success when the run is torn off', () => {
    expect(run(`test('a', () => { process.kill(process.ppid, 'SIGTERM'); return new Promise(() => {}); });`).lastLine).not.toMatch(
      / 0 failed/,
    );
  });

  function run(source: string, filters: string[] = []): { lastLine: string | undefined; status: number | null } {
    writeFileSync(join(folder, 'sample.test.ts'), `import { beforeAll, describe, expect, test } from 'vitest';\n${source}\n`);
    const config = {
      test: { root: folder, include: ['sample.test.ts'], exclude: [], reporters: ['default', resolve('tools/vitest/closing-line.ts')] },
    };
    writeFileSync(join(folder, 'vitest.config.mjs'), `export default ${JSON.stringify(config)};`);
    const { VITEST: _, ...env } = process.env;
    const { stdout, status } = spawnSync('vitest', ['run', '--config', join(folder, 'vitest.config.mjs'), ...filters], {
      encoding: 'utf8',
      env: { ...env, CI: 'true' },
      timeout: 60_000,
    });
    return { lastLine: stdout.trimEnd().split('\n').at(-1), status };
  }
});
