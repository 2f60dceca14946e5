import 'reflect-metadata';
import { type MessagePort, workerData } from 'node:worker_threads';
import { isDiptychError, Lifetime, toDiptychError, within } from '@diptych/kernel';
import { linkThreads, type ThreadLink } from '@diptych/messaging';
import { createTelemetry, type Telemetry } from '@diptych/telemetry';
import type { DynamicModule, Type as Class } from '@nestjs/common';
import { Environment } from '../environment.js';
import { HOST_SETTINGS, httpSettings, TELEMETRY_SETTINGS } from '../host-settings.js';
import { HttpListener } from '../http-listener.js';
import type { Overview } from '../http-server.js';
import { openApp } from '../open-app.js';
import { MAIN_THREAD, type MainThread } from './tokens.js';
import { mainPort, type WorkerBirth, workerPort, type WorkerPort } from './thread.wire.js';

/**
 * The life of a worker thread that `runThreads` has started: it does what the main thread asks of it, and ends when that lets go of
 * the link. Whatever is thrown beside a call ends the thread, and with it the process.
 */
export function runThread(root: Class | DynamicModule): void {
  const birth = workerData as WorkerBirth;
  const link = linkThreads(birth.port as MessagePort);
  link.serve(workerPort, new WorkerLife(root, birth, link));
}

class WorkerLife implements WorkerPort {
  readonly #root: Class | DynamicModule;
  readonly #link: ThreadLink;
  readonly #environment: Environment;
  readonly #lifetime: Lifetime;
  readonly #telemetry: Telemetry;
  readonly #listener: HttpListener;
  readonly #starting: Disposable;
  readonly #drainMs: number;

  constructor(root: Class | DynamicModule, { name, number, httpPort, variables }: WorkerBirth, link: ThreadLink) {
    this.#root = root;
    this.#link = link;
    this.#environment = new Environment(variables);
    this.#lifetime = new Lifetime(`thread ${number}`);
    const http = this.#environment.read(httpSettings(httpPort));
    this.#drainMs = http.drainMs;
    const { level } = this.#environment.read(TELEMETRY_SETTINGS);
    this.#telemetry = this.#lifetime.own('telemetry', createTelemetry({ name, level, thread: number }));
    this.#starting = this.#telemetry.health.hold('starting');
    this.#listener = new HttpListener({ requestTimeoutMs: http.requestTimeoutMs, reusePort: true });
    this.#lifetime.own('http', () => this.#listener.cut());
  }

  async listen({ host, port }: { readonly host: string; readonly port: number }): Promise<{ readonly url: string }> {
    await this.#listener.listen(host, port);
    return { url: this.#listener.url };
  }

  async open({ shared }: { readonly shared: Readonly<Record<string, unknown>> }): Promise<Record<string, never>> {
    const mainThread: MainThread = {
      link: this.#link,
      shared: (name) => {
        if (!(name in shared)) throw new RangeError(`the main thread shares nothing named ${name}`);
        return shared[name];
      },
    };
    await this.#openApp(mainThread).catch((error: unknown) => {
      // Only errors of the table reach the main thread as they are.
      if (!isDiptychError(error)) this.#telemetry.logger.error({ err: error }, 'this thread could not start');
      throw error;
    });
    this.#starting[Symbol.dispose]();
    return {};
  }

  async ready() {
    return this.#telemetry.health.ready();
  }

  async metrics() {
    const all = await this.#telemetry.metrics.getMetricsAsJSON();
    // Data alone: a part's own metric may bring its functions along, which cannot go to another thread.
    return { metrics: all.map(({ name, help, type, values, aggregator }) => ({ name, help, type, values, aggregator })) };
  }

  async stop(): Promise<{ readonly problems: readonly string[] }> {
    const { stopMs } = this.#environment.read(HOST_SETTINGS);
    try {
      await this.#lifetime.close(stopMs);
      return { problems: [] };
    } catch (error) {
      const errors = error instanceof AggregateError ? (error.errors as unknown[]) : [error];
      return { problems: errors.map((each) => (each instanceof Error ? each.message : String(each))) };
    }
  }

  #openApp(mainThread: MainThread): Promise<void> {
    return openApp(this.#root, {
      environment: this.#environment,
      lifetime: this.#lifetime,
      telemetry: this.#telemetry,
      listener: this.#listener,
      drainMs: this.#drainMs,
      overview: this.#overview(),
      providers: [{ provide: MAIN_THREAD, useValue: mainThread }],
    });
  }

  /** Whichever thread is asked, the answer is the process's. */
  #overview(): Overview {
    const main = this.#link.client(mainPort);
    const { metrics } = this.#telemetry;
    return {
      ready: () =>
        main.ready({}, within(ASK_TIMEOUT_MS)).catch((error: unknown) => {
          const reason = `main thread: ${toDiptychError(error).message}`;
          return { ok: false, reasons: [reason], checks: {} };
        }),
      metrics: () =>
        main.metrics({}, within(ASK_TIMEOUT_MS)).catch(async () => ({ contentType: metrics.contentType, text: await metrics.metrics() })),
    };
  }
}

/** Longer than the main thread waits for the others. */
const ASK_TIMEOUT_MS = 2_000;
