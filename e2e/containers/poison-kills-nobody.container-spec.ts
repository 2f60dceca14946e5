import { poison } from './support/slow-injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: what cannot be read is refused by whoever it is sent to, and costs nobody else anything: no process ends, none is held up.
 * Method: broken HTTP to the edges, broken frames and JSON to the subjects of cache and log, from the run's seed; what was answered, and that
 * the process is the same, is the proof.
 */
describeOutages('poison', ({ name }) => poison(name));
