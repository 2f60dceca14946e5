import { partition } from './support/injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: a part that nobody hears is missed like a dead one, and is back by itself when it is heard again.
 * Method: the proxy between it and the broker carries nothing in either direction, and closes nothing; what it holds is the proof.
 */
describeOutages('partition', ({ name }) => partition(name));
