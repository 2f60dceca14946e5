export * from './cache.port.js';
export * from './cache.wire.js';
