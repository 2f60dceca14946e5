import { readFileSync } from 'node:fs';
import type { Panels, PartName } from './panels.js';

/* What is run inside containers, where nobody listens from outside. */

/** Runs a program of this folder with Node, in a container. @returns the JSON it wrote last. @throws Error with its output */
export async function runInside<T>(panels: Panels, part: PartName | 'faults', program: string, ...args: readonly string[]): Promise<T> {
  const source = readFileSync(new URL(`./inside/${program}.ts`, import.meta.url), 'utf8');
  const { output, exitCode } = await panels.exec(part, ['node', '--input-type=module-typescript', '--eval', source, '--', ...args]);
  if (exitCode !== 0) throw new Error(`${program} in ${part} ended with ${exitCode}: ${output}`);
  return JSON.parse(output.trim().split('\n').at(-1)!) as T;
}

/** Calls of a method that a process has made, as its own metrics have it. */
export async function callsMade(panels: Panels, part: PartName, port: string, method: string): Promise<number> {
  const request = `exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`;
  const { output } = await panels.exec(part, ['bash', '-c', request]);
  let calls = 0;
  for (const [, labels, value] of output.matchAll(/^diptych_port_call_duration_seconds_count\{([^}]*)\} (\d+)/gm))
    if (labels!.includes(`port="${port}"`) && labels!.includes(`method="${method}"`)) calls += Number(value);
  return calls;
}
