export type { BoundedCache, BoundedCacheOptions, CacheClock } from './bounded-cache.js';
export type { EvictReason } from './evictions.js';
export { LruCache } from './lru-cache.js';
export type { LruCacheOptions } from './lru-cache.js';
export type { SharedLruCacheCounts, SharedLruCacheListener, SharedLruCacheOptions } from './shared-lru/options.js';
export { SharedLruCache } from './shared-lru/shared-lru-cache.js';
export { SpillingCache } from './spilling-cache.js';
export type { SpillingCacheOptions } from './spilling-cache.js';
