import { cacheContract } from './cache.contract.js';

cacheContract(['in-process', 'loopback']);
