import { freeze } from './support/injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: a part that hangs costs no more than one that is dead: nobody else hangs with it, and it goes on where it was when it thaws.
 * Method: its container is paused, all of its processes stopped with their connections open, and let go four seconds later.
 */
describeOutages('frozen', ({ name }) => freeze(name));
