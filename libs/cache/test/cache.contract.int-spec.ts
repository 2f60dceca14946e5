import { cacheContract } from './cache.contract.js';

cacheContract(['nats']);
