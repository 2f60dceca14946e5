import { execFileSync, spawn } from 'node:child_process';
import type { Launcher } from '@diptych/testing';
import { HttpClient } from '../support/http-client.js';

export interface WrkOptions {
  readonly url: string;
  readonly connections: number;
  readonly seconds: number;
  /** Puts something in front of wrk, `taskset` for example. */
  readonly launcher?: Launcher | undefined;
}

export interface WrkResult {
  readonly requestsPerSecond: number;
  readonly latencyMsP99: number;
}

/**
 * Loads one URL with wrk: a closed loop, a request in flight on each connection.
 *
 * @throws Error when there was an answer that is none
 */
export async function wrk({ url, connections, seconds, launcher }: WrkOptions): Promise<WrkResult> {
  const { command, args } = (launcher ?? asItIs)('wrk', ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', url]);
  const output = await outputOf(command, args);
  const rate = /^Requests\/sec:\s+([\d.]+)/m.exec(output)?.[1];
  const p99 = /^\s+99%\s+([\d.]+)(us|ms|s)/m.exec(output);
  if (rate === undefined || p99 === null) throw new Error(`wrk printed something else than expected: ${output}`);
  const failed = /^\s*(Non-2xx.*|Socket errors.*)$/m.exec(output)?.[0];
  if (failed) throw new Error(`wrk had answers that were none at ${url}: ${failed.trim()}`);
  const unit = { us: 0.001, ms: 1, s: 1000 }[p99[2] as 'us' | 'ms' | 's'];
  return { requestsPerSecond: Number(rate), latencyMsP99: Number(p99[1]) * unit };
}

/** @throws Error with one sentence */
export function assertWrk(): void {
  try {
    // Its exit code for -v is 1 in some versions; that it runs at all is what counts.
    execFileSync('wrk', ['-v'], { stdio: 'ignore' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new Error('this benchmark needs wrk on the PATH; on Debian and Ubuntu: apt-get install wrk', { cause: error });
  }
}

/** What answers wrongly is not timed: neither before nor after. @throws Error */
export async function assertAnswers(name: string, origin: string, path: string, value: string): Promise<void> {
  await using http = new HttpClient(origin);
  const answer = await http.send('GET', path);
  if (answer.status !== 200 || answer.text !== value)
    throw new Error(`${name} answers ${answer.status} with ${answer.bytes.length} bytes; it is disqualified`);
}

const asItIs: Launcher = (command, args) => ({ command, args });

function outputOf(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.once('error', reject);
    child.once('close', (code) => (code === 0 ? resolve(output) : reject(new Error(`${command} ended with ${code}`))));
  });
}
