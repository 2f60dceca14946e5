import { retryStorm } from './support/crowd-injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: users who ask again at once, and again, make an outage no larger, and it ends when its cause does.
 * Method: a part is frozen while a crowd asks up to four times for each thing; how often it asked is counted during and after.
 */
describeOutages('retryStorm', ({ name, arm }) => retryStorm(name, arm), { alone: true });
