import { leak } from './support/slow-injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: a part that leaks ends by its own limit, alone, and is started again.
 * Method: its inspector is opened by a signal and told to keep what it makes, until the heap or the container is full; its exit code is the
 * proof.
 */
describeOutages('leak', ({ name }) => leak(name), { alone: true });
