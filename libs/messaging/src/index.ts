export * from './port.js';
export { Bytes } from './schema.js';
export { inProcess } from './bindings/in-process.js';
export { loopback } from './bindings/loopback.js';
export type { FaultListener } from './faults.js';
export { connectNats } from './nats/nats-link.js';
export type { ClientOptions, NatsLink, NatsOptions } from './nats/nats-link.js';
export type { RoutingCounts } from './nats/routing/live-routes.js';
export type { Responder } from './nats/responder.js';
