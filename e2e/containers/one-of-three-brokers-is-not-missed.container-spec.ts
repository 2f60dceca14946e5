import { waitFor } from '@diptych/testing';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { HttpClient } from '../support/http-client.js';
import { cutOff, toBusiestBroker } from './support/broker-injections.js';
import { kill } from './support/injections.js';
import { BROKERS, Panels } from './support/panels.js';
import { describeOutages } from './support/outage.js';

/*
 * Goal: three brokers (profile `cluster`) know each other by the secret, and the services answer over them; the loss of one takes nothing away for long, whether it dies or is cut off from everybody.
 * Method: SIGKILL to the broker that most are connected to; the same broker taken out of its network. What is answered is counted from eight
 * seconds after: a cut is noticed by three pings, and whoever then tries the address of the dead first waits until the network says that
 * nobody is there.
 */
const panels = new Panels(inject('panels'));
beforeAll(() => panels.startCluster());
afterAll(() => panels.endCluster());

it('three brokers know each other by the secret, and the services answer over them', async () => {
  const ready = { timeoutMs: 60_000, pollMs: 100 };
  await using http = new HttpClient(panels.address.urls.cluster);
  await waitFor(async () => (await http.put('greeting', 'hello')).status < 300, { ...ready, what: 'it takes a write' });
  await waitFor(async () => (await http.get('greeting')).text === 'hello', { ...ready, what: 'and shows it' });
  for (const broker of BROKERS) {
    const { output } = await panels.exec(broker, ['wget', '-qO-', 'http://127.0.0.1:8222/routez']);
    const others = new Set([...output.matchAll(/"remote_name": "([^"]+)"/g)].map(([, name]) => name));
    expect([...others].sort()).toEqual(BROKERS.filter((each) => each !== broker));
  }
});

const MUCH_LATER = { lastsMs: 12_200, settlesMs: 8_000 };
describeOutages('brokerOfThreeKilled', () => ({ ...toBusiestBroker(kill), ...MUCH_LATER }));
describeOutages('brokerOfThreeCutOff', () => ({ ...toBusiestBroker(cutOff), ...MUCH_LATER }));
