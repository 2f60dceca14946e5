import { flushCompileCache } from 'node:module';
import { isDiptychError } from '@diptych/kernel';
import type { DynamicModule, Type as Class } from '@nestjs/common';
import { SettingsError } from './environment.js';
import { startApp, type AppOptions, type RunningApp } from './start-app.js';

/**
 * The whole life of a process: starts the app, says so on stdout (one JSON line with `event: "ready"`, `url` and `pid`), and ends it on SIGTERM or
 * SIGINT. A second signal ends it at once. The line means that it listens; whether its peers are there as well is what `/health/ready` says.
 *
 * Exit codes: 0 after a clean stop; 1 when it failed while running or did not stop in time; 2 when it could not start. The
 * reason is a sentence on stderr, with a stack only if DIPTYCH_DEBUG=1. There are no command-line arguments; one is a reason not to start.
 */
export function runApp(root: Class | DynamicModule, options: AppOptions): Promise<never> {
  return runProcess(options.name, () => startApp(root, options));
}

/** `runApp` for whatever way an app starts. */
export async function runProcess(name: string, start: () => Promise<RunningApp>): Promise<never> {
  // A defect has left the state unknown. Going on would risk more than a restart does.
  process.on('uncaughtException', (error) => exitWith(1, name, error));
  process.on('unhandledRejection', (reason) => exitWith(1, name, reason));

  const [argument] = process.argv.slice(2);
  if (argument !== undefined)
    exitWith(
      2,
      name,
      `the argument ${JSON.stringify(argument)} is not known: settings are environment variables, such as DIPTYCH_HTTP_PORT`,
    );

  const stop = new AbortController();
  const stopped = new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve(), { once: true }));
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      if (stop.signal.aborted) exitWith(1, name, `a second signal (${signal}) came before the stop was done`);
      stop.abort();
    });

  const app = await start().catch((error: unknown) => exitWith(2, name, error));
  const { logger } = app.telemetry;
  // Whoever started this process waits for the line, so it is written whatever the level.
  if (!stop.signal.aborted) logger.child({}, { level: 'info' }).info({ event: 'ready', url: app.url }, `${name} is ready at ${app.url}`);
  // Where Node keeps what it compiled (NODE_COMPILE_CACHE) it writes that at the end; the next instance is to have it while this one runs.
  flushCompileCache();
  const failure = await Promise.race([stopped, ...(app.failed ? [app.failed] : [])]);
  if (failure !== undefined) logger.error({ err: failure }, `${name} cannot go on`);
  logger.info({ event: 'stopping' }, `${name} is stopping`);
  await app.close().catch((error: unknown) => exitWith(1, name, failure === undefined ? error : new AggregateError([failure, error])));
  if (failure !== undefined) exitWith(1, name, failure);
  logger.info({ event: 'stopped' }, `${name} has stopped`);
  process.exit(0);
}

function exitWith(code: 1 | 2, name: string, error: unknown): never {
  for (const sentence of sentencesOf(error)) process.stderr.write(`${name}: ${sentence}\n`);
  if (process.env['DIPTYCH_DEBUG'] === '1') process.stderr.write(`${stackOf(error)}\n`);
  process.exit(code);
}

/** One for each thing that is wrong. */
function sentencesOf(error: unknown): readonly string[] {
  if (error instanceof SettingsError) return error.problems;
  if (error instanceof AggregateError) return error.errors.flatMap(sentencesOf);
  if (isDiptychError(error)) return [oneLine(error.message)];
  if (error instanceof Error) return [`${oneLine(`${error.name}: ${error.message}`)} (a defect; DIPTYCH_DEBUG=1 shows where)`];
  return [oneLine(String(error))];
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? String(error.stack) : `${error.stack}\ncaused by ${stackOf(error.cause)}`;
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ');
}
