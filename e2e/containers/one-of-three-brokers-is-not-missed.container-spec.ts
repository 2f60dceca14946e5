import { afterAll, beforeAll, inject } from 'vitest';
import { cutOff, toBusiestBroker } from './support/broker-injections.js';
import { kill } from './support/injections.js';
import { Panels } from './support/panels.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: with three brokers (profile `cluster`) the loss of one takes nothing away, whether it dies or is cut off from everybody.
 * Method: SIGKILL to the broker that most are connected to; the same broker taken out of its network. What is answered is counted from a
 * second after, and from five after the cut, which nobody is told of.
 */
const panels = new Panels(inject('panels'));
beforeAll(() => panels.startCluster());
afterAll(() => panels.endCluster());

describeOutages('brokerOfThreeKilled', () => toBusiestBroker(kill));
describeOutages('brokerOfThreeCutOff', () => ({ ...toBusiestBroker(cutOff), lastsMs: 9_200, settlesMs: 5_000 }));
