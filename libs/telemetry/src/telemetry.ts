import type { DestinationStream, Logger } from 'pino';
import { Gauge, Registry } from 'prom-client';
import { Health } from './health.js';
import { createLogger, type LogLevel } from './logger.js';
import { processMetrics, threadMetrics } from './process-metrics.js';

/** What a process says about itself: diagnostics, measurements, health. One per process, or per thread. */
export interface Telemetry extends Disposable {
  /** Of the process: `monolith`, `cache`. */
  readonly name: string;
  readonly logger: Logger;
  readonly metrics: Registry;
  readonly health: Health;
}

export interface TelemetryOptions {
  readonly name: string;
  readonly level: LogLevel;
  readonly destination?: DestinationStream;
  /** Which of several threads this is, in its diagnostics. It measures itself only, and leaves the process to the main thread. */
  readonly thread?: number;
}

/** Disposing ends the observers behind the process metrics; the logger and the registry hold nothing open. */
export function createTelemetry(options: TelemetryOptions): Telemetry {
  const metrics = new Registry();
  const health = new Health();
  const observers = options.thread === undefined ? processMetrics(metrics) : threadMetrics(metrics);
  new Gauge({
    name: 'diptych_ready',
    help: '1 when this process is ready, else 0.',
    registers: [metrics],
    aggregator: 'min',
    collect() {
      this.set(health.ready().ok ? 1 : 0);
    },
  });
  return {
    name: options.name,
    logger: createLogger(options),
    metrics,
    health,
    [Symbol.dispose]: () => observers[Symbol.dispose](),
  };
}
