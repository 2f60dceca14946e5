import { kill } from './support/injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: what the cache answers from memory while the log is away has an age that is bounded.
 * Method: SIGKILL to the log's container; what is answered is counted from beyond DIPTYCH_CACHE_MAX_STALE_MS.
 */
describeOutages('longWithoutLog', ({ name }) => ({ ...kill(name), lastsMs: 9_200, settlesMs: 6_000 }));
