import { kill } from './support/injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: the death of a part takes what needs it, at once, and nothing else; what was acknowledged is there when it is back.
 * Method: SIGKILL to its container, which the engine does not start again by itself; its start four seconds later.
 */
describeOutages('killed', ({ name }) => kill(name));
