import 'reflect-metadata';
import { Lifetime } from '@diptych/kernel';
import { createTelemetry, type Telemetry } from '@diptych/telemetry';
import type { DynamicModule, Type as Class } from '@nestjs/common';
import { Environment } from './environment.js';
import { HOST_SETTINGS, httpSettings, TELEMETRY_SETTINGS } from './host-settings.js';
import { hostedSettings } from './hosted-settings.js';
import { HttpListener } from './http-listener.js';
import { openApp } from './open-app.js';

export interface AppOptions {
  /** Of the process, in its diagnostics and to the broker. */
  readonly name: string;
  /** Unless DIPTYCH_HTTP_PORT says otherwise. */
  readonly httpPort: number;
  /** Default: the environment of the process. */
  readonly variables?: Readonly<Record<string, string | undefined>>;
}

export interface RunningApp {
  readonly url: string;
  readonly telemetry: Telemetry;
  /**
   * Not ready, no new connections, every accepted request answered, then everything closed, newest first. Safe to repeat.
   *
   * @throws AggregateError of what did not end in time
   */
  close(): Promise<void>;
  /** Resolves when it cannot go on, and why. It is to be closed then. */
  readonly failed?: Promise<unknown> | undefined;
}

/**
 * Starts an app in this process, without touching the process: no signals, no exit. Order: settings and what parts check of
 * them, the port, then the modules. Whatever
 * fails, what had been started is closed before this throws.
 *
 * @throws SettingsError; DiptychError with one sentence that says what to do; whatever a module throws
 */
export async function startApp(root: Class | DynamicModule, options: AppOptions): Promise<RunningApp> {
  const environment = new Environment(options.variables);
  const HTTP_SETTINGS = httpSettings(options.httpPort);
  await environment.verify([HOST_SETTINGS, HTTP_SETTINGS, TELEMETRY_SETTINGS, ...hostedSettings(root)]);
  const http = environment.read(HTTP_SETTINGS);

  const lifetime = new Lifetime(options.name);
  const { stopMs } = environment.read(HOST_SETTINGS);
  const close = () => lifetime.close(stopMs);
  try {
    const { level } = environment.read(TELEMETRY_SETTINGS);
    const telemetry = lifetime.own('telemetry', createTelemetry({ name: options.name, level: level }));
    const starting = telemetry.health.hold('starting');

    const listener = new HttpListener({ requestTimeoutMs: http.requestTimeoutMs });
    lifetime.own('http', () => listener.cut());
    await listener.listen(http.host, http.port);

    await openApp(root, { environment, lifetime, telemetry, listener, drainMs: http.drainMs });
    starting[Symbol.dispose]();
    return { url: listener.url, telemetry, close };
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
}
