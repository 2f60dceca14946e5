export { guard } from './guard.js';
export { shed } from './shed.js';
export { DEFAULT_GUARDS } from './guard-options.js';
export type { GuardOptions } from './guard-options.js';
export { guardMetrics } from './guard-metrics.js';
