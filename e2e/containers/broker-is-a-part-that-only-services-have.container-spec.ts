import { freeze, kill } from './support/injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: without the broker the services can do nothing but say that they live, and the monolith does not notice.
 * Method: SIGKILL to the broker's container, and its start; and the same by freezing it.
 */
describeOutages('brokerKilled', ({ name }) => kill(name));
describeOutages('brokerFrozen', ({ name }) => freeze(name));
