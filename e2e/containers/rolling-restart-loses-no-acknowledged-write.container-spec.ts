import { restartAll } from './support/injections.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: restarting every part, one after the other, refuses requests for a while and loses none that it accepted.
 * Method: SIGTERM and a new process in each container, the next when the one before is ready.
 */
describeOutages('rollingRestart', ({ arm }) => restartAll(arm));
