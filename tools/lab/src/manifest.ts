import { spawnSync } from 'node:child_process';
import type { Profile } from '@diptych/testing';
import { describeMachine } from './machine.js';
import type { Meta } from './results.js';

/** What somebody needs to repeat a run, and to judge whether their machine is comparable. */
export function describeRun(run: { command: string; seed: number; startedAt: Date; seconds: number; profile: Profile }): Meta {
  return {
    command: run.command,
    replay: `npm run ${run.command} -- --seed ${run.seed}`,
    startedAt: run.startedAt.toISOString(),
    seconds: Math.round(run.seconds),
    seed: run.seed,
    commit: output('git', ['rev-parse', '--short=12', 'HEAD']) ?? 'unknown',
    dirty: (output('git', ['status', '--porcelain']) ?? '') !== '',
    machine: describeMachine(),
    versions: {
      node: process.versions.node,
      nats: output(process.env['DIPTYCH_NATS_SERVER'] ?? 'nats-server', ['--version'])?.replace(/^nats-server: v?/, '') ?? 'unknown',
    },
    profile: run.profile.words,
  };
}

function output(command: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}
