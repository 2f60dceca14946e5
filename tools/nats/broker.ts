import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { findNatsServer, installNatsServer } from '../setup/nats-server.mjs';
import { SetupProblem } from '../setup/problem.mjs';

export const brokerHost = '127.0.0.1';
const root = fileURLToPath(new URL('../..', import.meta.url));

/** A nats-server that this process started. */
export interface Broker {
  readonly url: string;
  /** Settles when it has ended, whoever ended it. */
  readonly ended: Promise<{ asked: boolean; status: number | null }>;
  /** Ends it; resolves when it is gone. Safe to repeat. */
  stop(): Promise<void>;
}

/**
 * Starts a broker on the loopback interface and resolves when it answers. Its own output goes to `onLine`.
 *
 * @throws SetupProblem in one sentence: no such program, the port is taken, or it ended while starting
 */
export async function startBroker(port: number, onLine: (line: string) => void): Promise<Broker> {
  await assertFree(port);
  const program = (await findNatsServer(root)) ?? (await installNatsServer(root));
  const child = spawn(program, ['--addr', brokerHost, '--port', String(port)], { stdio: ['ignore', 'pipe', 'pipe'] });
  let asked = false;
  const ended = once(child, 'close').then(([status]) => ({ asked, status: status as number | null }));
  let rest = '';
  child.stderr.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
  const broker: Broker = {
    url: `nats://${brokerHost}:${port}`,
    ended,
    async stop() {
      asked = true;
      child.kill('SIGTERM');
      const impatient = setTimeout(() => child.kill('SIGKILL'), 5000);
      await ended;
      clearTimeout(impatient);
    },
  };
  const answers = await Promise.race([untilAnswering(port), ended.then(() => false)]);
  if (!answers) throw new SetupProblem(`${program} ended while it was starting; its own last words are above.`);
  return broker;
}

/** @returns the port to serve on: DIPTYCH_NATS_PORT, else 4222. @throws SetupProblem when that is no port */
export function brokerPort(text: string | undefined = process.env.DIPTYCH_NATS_PORT): number {
  const port = Number(text || 4222);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new SetupProblem(`DIPTYCH_NATS_PORT must be a port from 1 to 65535, is "${text}".`);
  return port;
}

/** Whether somebody's nats-server already answers there: it greets whoever connects with a line that begins with INFO. */
export async function natsAnswers(port: number): Promise<boolean> {
  const socket = connect({ host: brokerHost, port, timeout: 2000 });
  try {
    const [greeting] = (await Promise.race([once(socket, 'data'), once(socket, 'timeout'), once(socket, 'end')])) as [Buffer?];
    return greeting?.toString().startsWith('INFO ') ?? false;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function assertFree(port: number): Promise<void> {
  const probe = createServer().listen(port, brokerHost);
  try {
    await once(probe, 'listening');
  } catch {
    const who = (await natsAnswers(port)) ? 'another nats-server' : 'another program';
    throw new SetupProblem(`Port ${port} on ${brokerHost} is taken by ${who}: stop it, or choose another port with DIPTYCH_NATS_PORT.`);
  }
  probe.close();
  await once(probe, 'close');
}

async function untilAnswering(port: number): Promise<boolean> {
  while (!(await natsAnswers(port))) await new Promise((resolve) => setTimeout(resolve, 50));
  return true;
}
