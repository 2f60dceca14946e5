import { LOG_COMMANDS, runLogCommand } from './log-command.js';

/** Whether the program was started for a command rather than to serve. */
export function isLogCommand(args: readonly string[]): boolean {
  return (LOG_COMMANDS as readonly (string | undefined)[]).includes(args[0]);
}

/** The whole life of a process that runs one command: Ctrl-C ends it soon, a second one at once. Sets the exit code. */
export async function runLogProgram(args: readonly string[]): Promise<void> {
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.on(name, () => {
      if (stopping.signal.aborted) process.exit(1);
      stopping.abort(new Error('stopped'));
    });
  let readerGone = false;
  // The reader is gone, as in `log dump … | head -1`. That is no failure.
  process.stdout.once('error', () => {
    readerGone = true;
    stopping.abort(new Error('nobody reads the output'));
  });
  const quiet = { write: (text: string) => readerGone || process.stderr.write(text) } as NodeJS.WritableStream;
  const code = await runLogCommand(args, { out: process.stdout, err: quiet, signal: stopping.signal });
  process.exit(readerGone ? 0 : code);
}
