import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tempDir } from '@diptych/testing';
import { dockerWithin } from './container-engine.js';

it.runIf(process.platform !== 'win32')('an engine that does not answer is given up, and one that complains is quoted', async () => {
  await using dir = await tempDir();
  const standIn = (script: string) => writeFileSync(join(dir.path, 'docker'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const variables = { PATH: `${dir.path}:${process.env['PATH']}` };
  standIn('exec sleep 600');
  await expect(dockerWithin(50, ['ps'], variables)).rejects.toThrow('docker ps: not done within 0.05 s');
  // It has gone, and its child holds the pipes.
  standIn('sleep 600 & exit 0');
  await expect(dockerWithin(50, ['ps'], variables)).rejects.toThrow('docker ps: not done within 0.05 s');
  standIn('echo no engine >&2; exit 1');
  await expect(dockerWithin(60_000, ['ps'], variables)).rejects.toThrow('docker ps: no engine');
  standIn('echo "$1"');
  expect(await dockerWithin(60_000, ['ps'], variables)).toBe('ps\n');
});
