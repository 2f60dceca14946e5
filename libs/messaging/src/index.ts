export * from './port.js';
export { Bytes } from './schema.js';
export { inProcess } from './bindings/in-process.js';
export { loopback } from './bindings/loopback.js';
export type { FaultListener } from './faults.js';
