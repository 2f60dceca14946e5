import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WORKSPACE } from '@diptych/testing';
import { expect, inject, it } from 'vitest';
import { ARM_NAMES } from './support/panels.js';

/*
 * Goal: what the README says to type does what it says, in each panel.
 * Method: its curl lines are given to a shell, with nothing changed but the port, which is the run's own.
 */
it.each(ARM_NAMES)('%s', (arm) => {
  const readme = readFileSync(join(WORKSPACE, 'README.md'), 'utf8');
  const lines = readme.split('\n').filter((line) => line.startsWith('curl -i '));
  expect(lines.length).toBe(4);
  const script = lines.join('\n').replaceAll('http://127.0.0.1:8090', inject('panels').urls[arm]);
  const { stdout, status } = spawnSync('bash', ['-euc', script.replaceAll('curl -i', 'curl -sS -i')], { encoding: 'utf8' });
  expect(status).toBe(0);
  expect([...stdout.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, code]) => code)).toEqual(['201', '200', '200', '204']);
  expect(stdout).toContain('hello');
});
