import type { DestinationStream, Logger } from 'pino';
import { Gauge, Registry } from 'prom-client';
import { Health } from './health.js';
import { createLogger, type LogLevel } from './logger.js';
import { processMetrics } from './process-metrics.js';

/** What a process says about itself: diagnostics, measurements, health. One per process. */
export interface Telemetry extends Disposable {
  /** Of the process: `monolith`, `cache`. */
  readonly name: string;
  readonly logger: Logger;
  readonly metrics: Registry;
  readonly health: Health;
}

/** Disposing ends the observers behind the process metrics; the logger and the registry hold nothing open. */
export function createTelemetry(options: { name: string; level: LogLevel; destination?: DestinationStream }): Telemetry {
  const metrics = new Registry();
  const health = new Health();
  const observers = processMetrics(metrics);
  new Gauge({
    name: 'diptych_ready',
    help: '1 when this process is ready, else 0.',
    registers: [metrics],
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
