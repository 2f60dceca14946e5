import { readdir, readFile } from 'node:fs/promises';
import { waitFor } from './wait-for.js';

/**
 * Resolves when a process that SIGSTOP was sent to stands still. The signal takes effect some time after `kill` has returned, in each thread by itself: on a
 * busy machine a broker goes on to accept connections and to read for a while.
 *
 * Where the system does not say (there is no /proc) it resolves at once.
 *
 * @throws Error when the process goes on, or is gone
 */
export async function untilStopped(pid: number): Promise<void> {
  if (process.platform !== 'linux') return;
  await waitFor(async () => (await threadStates(pid)).every((state) => state === 'T'), { what: `process ${pid} stands still` });
}

/** As in the third field of `/proc/<pid>/stat`, behind a name that may hold anything; proc(5). */
async function threadStates(pid: number): Promise<string[]> {
  const threads = await readdir(`/proc/${pid}/task`);
  const stats = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/stat`, 'latin1')));
  return stats.map((stat) => stat.charAt(stat.lastIndexOf(')') + 2));
}
