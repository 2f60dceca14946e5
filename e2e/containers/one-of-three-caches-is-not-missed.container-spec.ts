import { freeze, kill } from './support/injections.js';
import { describeOutages } from './support/outage.js';
import { LATER, withThreeCaches } from './support/three-caches.js';

/*
 * Goal: with three caches the death of one takes nothing away, and neither does its freezing, which closes no connection.
 * Method: SIGKILL to one of their containers, and the same with a pause; what is answered is counted from two seconds after.
 */
withThreeCaches(() => {
  describeOutages('killedOneOfThree', ({ name }) => ({ ...kill(name), ...LATER }));
  describeOutages('frozenOneOfThree', ({ name }) => ({ ...freeze(name), ...LATER }));
});
