import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { Profile } from '@diptych/testing';
import { describeMachine } from './machine.js';
import type { Meta } from './results.js';

/** What somebody needs to repeat a run, and to judge whether their machine is comparable. Asked before the run, so that it is what was run. */
export function describeRun(run: {
  command: string;
  seed: number;
  options?: string;
  startedAt: Date;
  profile: Profile;
  plan: unknown;
}): Meta {
  return {
    command: run.command,
    planHash: hashOf(run.plan),
    replay: `npm run ${run.command}${run.command.includes(' -- ') ? '' : ' --'} --seed ${run.seed}${run.options ?? ''}`,
    startedAt: run.startedAt.toISOString(),
    seconds: 0,
    seed: run.seed,
    commit: output('git', ['rev-parse', '--short=12', 'HEAD']) ?? 'unknown',
    dirty: (output('git', ['status', '--porcelain']) ?? '') !== '',
    machine: describeMachine(),
    versions: { node: process.versions.node, nats: natsVersion() ?? 'none' },
    profile: run.profile.words,
  };
}

/** @throws Error with one sentence when there is no broker: half of all arms could not start */
export function assertBroker(): void {
  if (natsVersion() === undefined)
    throw new Error(`there is no ${natsServer()}: npm run setup brings one, or name the program in DIPTYCH_NATS_SERVER`);
}

export function hashOf(plan: unknown): string {
  return createHash('sha256').update(JSON.stringify(plan)).digest('hex').slice(0, 16);
}

function natsServer(): string {
  return process.env['DIPTYCH_NATS_SERVER'] || 'nats-server';
}

function natsVersion(): string | undefined {
  return output(natsServer(), ['--version'])?.replace(/^nats-server: v?/, '');
}

function output(command: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}
