export * from './telemetry.js';
export * from './health.js';
export * from './logger.js';
export * from './process-metrics.js';
export * from './measured.js';
export * from './traceparent.js';
export * from './read-metrics.js';
