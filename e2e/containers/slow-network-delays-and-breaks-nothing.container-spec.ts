import { slow } from './support/injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: a slow way to the broker makes the services slow by that and breaks nothing, no breaker, no liveness; the monolith has no such way.
 * Method: the proxy between one part and the broker delays each direction by 100 ms; its tally is the proof.
 */
describeOutages('slowNetwork', ({ name }) => slow(name));
