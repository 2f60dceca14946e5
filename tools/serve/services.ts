// `npm run services`: the whole panel of services from source, with restart on change: a broker, then log, cache and gateway. Every line
// of output says whose it is. Ctrl-C stops them in the opposite order, so that nobody loses what it still needs for its drain.
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { brokerHost, brokerPort, natsAnswers, startBroker } from '../nats/broker.ts';
import { serveCommand } from '../nx/serve-command.mjs';
import { SetupProblem } from '../setup/problem.mjs';

const graceMs = 15_000;
const apps = ['log', 'cache', 'gateway'];
const stops: (() => Promise<void>)[] = [];
let stopping = false;

try {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void stopAll(0));
  const url = await haveBroker();
  for (const app of apps) if (!stopping) serve(app, url);
} catch (error) {
  if (!(error instanceof SetupProblem)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}

/** A broker that runs already is used and left alone. */
async function haveBroker(): Promise<string> {
  const port = brokerPort();
  if (await natsAnswers(port)) {
    print('nats', `using the nats-server that already answers on port ${port}`);
    return `nats://${brokerHost}:${port}`;
  }
  const broker = await startBroker(port, (line) => print('nats', line));
  stops.push(() => broker.stop());
  void broker.ended.then(({ asked, status }) => asked || endedByItself('nats', status));
  return broker.url;
}

function serve(app: string, natsUrl: string): void {
  const [program = '', ...args] = serveCommand(app);
  const { DIPTYCH_HTTP_PORT: gatewayPort, ...env } = process.env;
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...env, DIPTYCH_NATS_URL: natsUrl, ...(app === 'gateway' && gatewayPort && { DIPTYCH_HTTP_PORT: gatewayPort }) },
  });
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', (line) => print(app, line));
  child.once('error', (error) => print(app, error.message));
  child.once('exit', (status) => stopping || endedByItself(app, status));
  stops.push(() => stop(child));
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  child.kill('SIGTERM');
  const impatient = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await once(child, 'exit');
  clearTimeout(impatient);
}

function endedByItself(who: string, status: number | null): void {
  print(who, `ended by itself with status ${status}; stopping the others`);
  void stopAll(1);
}

async function stopAll(exitCode: number): Promise<void> {
  if (stopping) return;
  stopping = true;
  for (const each of stops.reverse()) await each();
  process.exitCode = exitCode;
}

function print(who: string, line: string): void {
  console.log(`${who.padEnd(7)} | ${line}`);
}
