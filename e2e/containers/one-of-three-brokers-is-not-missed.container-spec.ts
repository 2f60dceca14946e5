import { afterAll, beforeAll, inject } from 'vitest';
import { cutOff, toBusiestBroker } from './support/broker-injections.js';
import { kill } from './support/injections.js';
import { Panels } from './support/panels.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: with three brokers (profile `cluster`) the loss of one takes nothing away for long, whether it dies or is cut off from everybody.
 * Method: SIGKILL to the broker that most are connected to; the same broker taken out of its network. What is answered is counted from eight
 * seconds after: a cut is noticed by three pings, and whoever then tries the address of the dead first waits until the network says that
 * nobody is there.
 */
const panels = new Panels(inject('panels'));
beforeAll(() => panels.startCluster());
afterAll(() => panels.endCluster());

const MUCH_LATER = { lastsMs: 12_200, settlesMs: 8_000 };
describeOutages('brokerOfThreeKilled', () => ({ ...toBusiestBroker(kill), ...MUCH_LATER }));
describeOutages('brokerOfThreeCutOff', () => ({ ...toBusiestBroker(cutOff), ...MUCH_LATER }));
