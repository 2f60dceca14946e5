import { availableParallelism } from 'node:os';
import { DiptychError, Lifetime } from '@diptych/kernel';
import { createTelemetry } from '@diptych/telemetry';
import type { DynamicModule, Type as Class } from '@nestjs/common';
import { Type } from 'typebox';
import { Environment } from '../environment.js';
import { HOST_SETTINGS, httpSettings, TELEMETRY_SETTINGS } from '../host-settings.js';
import { hostedSettings } from '../hosted-settings.js';
import { openParts } from '../open-app.js';
import { runProcess } from '../run-app.js';
import { defineSettings } from '../settings.js';
import { startApp, type AppOptions, type RunningApp } from '../start-app.js';
import { claimPort } from './port-claim.js';
import { ThreadGroup } from './thread-group.js';
import { OTHER_THREADS } from './tokens.js';

export const THREADS_SETTINGS = defineSettings('threads', {
  count: Type.Integer({
    default: 1,
    minimum: 0,
    maximum: 64,
    description:
      'Threads that serve HTTP, all on one port. 1: one thread does everything. More: the log has a thread of its own besides. 0: as many as there are processors, and 2 at least.',
  }),
});

export interface ThreadedApp extends AppOptions {
  /** What the process hosts when it has one thread only. */
  readonly whole: Class | DynamicModule;
  /** What the main thread of several hosts. It serves no HTTP. */
  readonly main: Class | DynamicModule;
  /** What each of the others hosts, all on one port. */
  readonly thread: Class | DynamicModule;
  /** The file that calls `runThread` with it. */
  readonly program: URL;
}

/**
 * The whole life of a process of one thread or several; from outside it is as one of `runApp`. A thread that ends by itself, by an exception or for
 * want of memory, ends the process with 1: the others answer what they have accepted first. Nothing restarts it in here, because whoever
 * watches over the process does that better, and hears of it.
 */
export function runThreads(app: ThreadedApp): Promise<never> {
  return runProcess(app.name, () => startThreads(app));
}

/**
 * `startApp` in as many threads as DIPTYCH_THREADS_COUNT says. The port is taken, and answers 503, before the parts of the main thread start; those of the others start after them.
 *
 * @throws as `startApp`
 */
export async function startThreads(app: ThreadedApp): Promise<RunningApp> {
  const { main, thread, program, name, httpPort, variables } = app;
  const environment = new Environment(variables);
  environment.check([THREADS_SETTINGS]);
  const { count: asked } = environment.read(THREADS_SETTINGS);
  if (asked === 1) return startApp(app.whole, app);
  assertWorkingDirectory();
  const HTTP_SETTINGS = httpSettings(httpPort);
  const hosted = [...hostedSettings(main), ...hostedSettings(thread)];
  await environment.verify([HOST_SETTINGS, HTTP_SETTINGS, TELEMETRY_SETTINGS, ...hosted]);
  const http = environment.read(HTTP_SETTINGS);
  const count = asked === 0 ? Math.max(2, availableParallelism()) : asked;

  const lifetime = new Lifetime(name);
  const { stopMs } = environment.read(HOST_SETTINGS);
  const close = () => lifetime.close(stopMs);
  try {
    const { level } = environment.read(TELEMETRY_SETTINGS);
    const telemetry = lifetime.own('telemetry', createTelemetry({ name, level }));
    const starting = telemetry.health.hold('starting');
    lifetime.own('http.port', await claimPort(http.host, http.port));
    const threads = new ThreadGroup({ name, program, count, httpPort, variables, telemetry });
    lifetime.own('threads', () => threads.end());
    const url = await threads.listen(http.host, http.port);
    const providers = [{ provide: OTHER_THREADS, useValue: threads }];
    await openParts(main, { environment, lifetime, telemetry, providers });
    await threads.open();
    // Before the parts of this thread, which the others need for what they still have to answer.
    lifetime.own('threads.requests', () => threads.stop(stopMs));
    lifetime.own('ready', () => void telemetry.health.hold('stopping'));
    starting[Symbol.dispose]();
    return { url, telemetry, close, failed: threads.failed };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}

/** In a working directory that is gone Node's threads end as they start, without a word. */
function assertWorkingDirectory(): void {
  try {
    process.cwd();
  } catch (cause) {
    throw new DiptychError(
      'INVALID_REQUEST',
      'DIPTYCH_THREADS_COUNT is not 1, and threads cannot be started: the working directory of this process is gone',
      {
        cause,
      },
    );
  }
}
