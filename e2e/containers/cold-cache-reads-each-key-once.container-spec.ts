import { coldCache } from './support/crowd-injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: an empty cache does not pass a stampede on: however many want the same key, the log is read for it once.
 * Method: the process with the cache is killed and started while a crowd wants five keys; its own count of reads of the log is the proof.
 */
describeOutages('coldCache', ({ name, arm }) => coldCache(name, arm), { alone: true });
