export { DiptychClient } from './diptych-client.js';
export type { DiptychClientOptions } from './diptych-client.js';
export { DiptychContext } from './context.js';
export { DiptychErrorFilter } from './errors.js';
export { DiptychRecord, DiptychRecordBuilder } from './record.js';
export type { Headers } from './record.js';
export { DiptychServer } from './diptych-server.js';
export type { DiptychServerOptions, DiptychTransportEvents } from './diptych-server.js';
export type { DiptychTransportOptions } from './process-link.js';
