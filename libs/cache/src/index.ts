export * from './cache.port.js';
export * from './cache.wire.js';
export * from './cache.module.js';
export { CACHE_ROUTING_SETTINGS, CACHE_SETTINGS } from './cache.settings.js';
export type { CacheRoutingSettings, CacheSettings } from './cache.settings.js';
