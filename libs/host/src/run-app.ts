import { isDiptychError } from '@diptych/kernel';
import type { DynamicModule, Type as Class } from '@nestjs/common';
import { SettingsError } from './environment.js';
import { startApp, type AppOptions, type RunningApp } from './start-app.js';

/**
 * The whole life of a process: starts the app, says on stdout that it is ready (one JSON line with `event: "ready"`, `url` and `pid`), and ends it on
 * SIGTERM or SIGINT. A second signal ends it at once.
 *
 * Exit codes: 0 after a clean stop; 1 when it failed while running or did not stop in time; 2 when it could not start. The
 * reason is a sentence on stderr, with a stack only if DIPTYCH_DEBUG=1.
 */
export async function runApp(root: Class | DynamicModule, options: AppOptions): Promise<void> {
  // A defect has left the state unknown. Going on would risk more than a restart does.
  process.on('uncaughtException', (error) => exitWith(1, options.name, error));
  process.on('unhandledRejection', (reason) => exitWith(1, options.name, reason));

  let stop: (() => void) | undefined;
  let signalled = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (signalled) exitWith(1, options.name, `a second signal (${signal}) came before the stop was done`);
    signalled = true;
    stop?.();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);

  let app: RunningApp;
  try {
    app = await startApp(root, options);
  } catch (error) {
    return exitWith(2, options.name, error);
  }
  stop = () => void closeAndExit(app, options.name);
  if (signalled) return stop();
  // Whoever started this process waits for the line, so it is written whatever the level.
  const { logger } = app.telemetry;
  logger.child({}, { level: 'info' }).info({ event: 'ready', url: app.url }, `${options.name} is ready at ${app.url}`);
}

async function closeAndExit(app: RunningApp, name: string): Promise<never> {
  app.telemetry.logger.info({ event: 'stopping' }, `${name} is stopping`);
  try {
    await app.close();
  } catch (error) {
    return exitWith(1, name, error);
  }
  app.telemetry.logger.info({ event: 'stopped' }, `${name} has stopped`);
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
