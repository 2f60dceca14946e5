import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commands } from './commands.mjs';
import { whyNoDockerEngine } from './docker-engine.mjs';
import { withLock } from './lock.mjs';
import { findHaproxy, installHaproxy } from './haproxy.mjs';
import { findNatsServer, installNatsServer } from './nats-server.mjs';
import { assertNodeCanBeHad, nodeFolder } from './node-24.mjs';
import { installPackages, packagesAreCurrent } from './packages.mjs';
import { endRunning, exitCodeOf, runInForeground } from './processes.mjs';
import { SetupProblem, say } from './problem.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Sets up what the command needs, runs it, and sets the exit code. @param {string | undefined} name @param {string[]} args */
export async function main(name, args) {
  const command = name === undefined ? undefined : commands[name];
  if (!command) {
    const list = Object.entries(commands).map(([each, { about }]) => `  npm run ${each.padEnd(16)} ${about}`);
    process.stderr.write(`${name === undefined ? 'Which command?' : `There is no command "${name}".`} There are:\n${list.join('\n')}\n`);
    process.exitCode = 2;
    return;
  }
  try {
    process.chdir(root);
    const env = await interruptible(() => prepare(command, args));
    process.exitCode = await runAll(command, args, env);
  } catch (error) {
    if (!(error instanceof SetupProblem)) throw error;
    if (typeof error.cause === 'string') process.stderr.write(`${error.cause}\n`);
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  }
}

/** @param {import('./commands.mjs').Command} command @param {string[]} args @returns {Promise<NodeJS.ProcessEnv>} the environment to run it in */
async function prepare(command, args) {
  const { env } = command;
  const needs = [...(command.needs ?? []), ...(command.needsFor?.(args) ?? [])];
  assertNodeCanBeHad();
  if (!packagesAreCurrent(root)) {
    await exclusively(async () => {
      if (!packagesAreCurrent(root)) await installPackages(root);
    });
  }
  const node = await nodeFolder(root);
  const natsServer = needs.includes('nats-server')
    ? ((await findNatsServer(root)) ?? (await exclusively(async () => (await findNatsServer(root)) ?? (await installNatsServer(root)))))
    : undefined;
  // Only some experiments want it: that `setup` cannot bring it is told, and is no failure of it.
  const haproxy = needs.includes('haproxy') ? await haproxyFor(command === commands.setup) : undefined;
  if (needs.includes('docker')) {
    const why = whyNoDockerEngine();
    if (why) throw new SetupProblem(`This command needs a Docker engine, and ${why}: start one and try again.`);
  }
  const bin = join(root, 'node_modules/.bin');
  // Where the packaged Node is there but does not run (musl), it must not hide the one that does.
  const folders = existsSync(join(bin, 'node')) ? [node, bin] : [bin, node];
  return {
    ...process.env,
    PATH: [...folders, process.env.PATH].join(delimiter),
    NX_DAEMON: 'false', // a daemon would outlive the command
    NX_NO_CLOUD: 'true',
    ...(natsServer && { DIPTYCH_NATS_SERVER: natsServer }),
    ...(haproxy && { DIPTYCH_HAPROXY: haproxy }),
    ...env,
  };
}

/** @param {boolean} isOptional @returns {Promise<string | undefined>} */
async function haproxyFor(isOptional) {
  try {
    return (await findHaproxy(root)) ?? (await exclusively(async () => (await findHaproxy(root)) ?? (await installHaproxy(root))));
  } catch (error) {
    if (!isOptional || !(error instanceof SetupProblem)) throw error;
    say(`${error.message} Until then the experiments of scaling cannot run.`);
    return undefined;
  }
}

/** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
function exclusively(work) {
  return withLock(root, () => say('another command is setting up; waiting for it'), work);
}

/** Lets a signal end what set-up has started, and then this process: everything it does can be begun again. @template T @param {() => Promise<T>} work */
async function interruptible(work) {
  const stop = (/** @type {NodeJS.Signals} */ signal) => {
    void endRunning().then(() => process.exit(exitCodeOf(signal)));
  };
  process.on('SIGINT', stop).on('SIGTERM', stop).on('SIGHUP', stop);
  try {
    return await work();
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop).off('SIGHUP', stop);
  }
}

/** @param {import('./commands.mjs').Command} command @param {string[]} args @param {NodeJS.ProcessEnv} env @returns {Promise<number>} exit code */
async function runAll({ run: lines }, args, env) {
  for (const [index, [program = '', ...fixed]] of lines.entries()) {
    const { status, stoppedBy, leftovers } = await runInForeground(program, [...fixed, ...(index === lines.length - 1 ? args : [])], env);
    if (status !== 0) return status;
    if (leftovers > 0) return 1;
    if (stoppedBy) return 0;
  }
  return 0;
}
