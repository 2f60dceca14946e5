import { waitFor } from '@diptych/testing';
import { HttpClient } from '../../support/http-client.js';
import { Crowd, type CrowdOptions, type CrowdTally } from './crowd.js';
import { freeze, kill, prove, READY_MS_MAX } from './injections.js';
import { callsMade } from './inside.js';
import type { Injection } from './outage.js';
import type { ArmName, PanelPart, Panels } from './panels.js';
import { PERIOD_MS, WARM_KEYS } from './probes.js';

/* Faults that users make worse. */

/** A crowd from a fault's beginning until it is well again and a second more. */
function withCrowd(
  inner: Injection,
  url: (panels: Panels) => string,
  options: CrowdOptions,
  proof: (during: CrowdTally, after: CrowdTally) => string,
): Injection {
  let crowd: Crowd | undefined;
  let during: CrowdTally = { wanted: 0, attempts: 0 };
  return {
    ...inner,
    async begin(panels) {
      crowd = new Crowd(url(panels), options);
      return inner.begin(panels);
    },
    async end(panels) {
      during = crowd!.tally;
      await inner.end(panels);
    },
    async after(panels) {
      // What is asked from now on is asked of a panel that is well.
      const from = crowd!.tally;
      await waitFor(() => crowd!.tally.wanted >= from.wanted + options.users * 4, { what: 'the crowd goes on', timeoutMs: READY_MS_MAX });
      const to = crowd!.tally;
      await crowd![Symbol.asyncDispose]();
      const more = inner.after ? `; ${await inner.after(panels)}` : '';
      return proof(during, { wanted: to.wanted - from.wanted, attempts: to.attempts - from.attempts }) + more;
    },
    abandon: async () => crowd?.[Symbol.asyncDispose](),
  };
}

const perWish = ({ wanted, attempts }: CrowdTally) => attempts / Math.max(1, wanted);

export function retryStorm(part: PanelPart, arm: ArmName): Injection {
  const options: CrowdOptions = {
    users: 24,
    pauseMs: 100,
    repeatsMax: 3,
    want: (user, n) => [n % 2 === 0 ? 'PUT' : 'GET', `storm/${user}/${n}`],
  };
  return withCrowd(
    freeze(part),
    (panels) => panels.address.urls[arm],
    options,
    (during, after) => {
      prove(perWish(during) > 1.2, `nobody asked again: ${JSON.stringify(during)}`);
      // A fluke on a busy machine is no storm.
      prove(perWish(after) < 1.1, `the storm went on: ${JSON.stringify(after)}`);
      return `each wish was asked ${perWish(during).toFixed(1)} times while it lasted, ${perWish(after).toFixed(2)} times afterwards`;
    },
  );
}

const HOT_KEYS = 5;

/** The process that holds the cache is killed and started at once, while many want the same few keys. */
export function coldCache(part: 'monolith' | 'cache', arm: ArmName): Injection {
  const killing = kill(part);
  let reads = 0;
  let startedMs = 0;
  const restart: Injection = {
    healsByItself: true,
    settlesMs: 0,
    async begin(panels) {
      await using http = new HttpClient(panels.address.urls[arm]);
      for (let i = 0; i < HOT_KEYS; i++) prove((await http.put(`stampede/${i}`, 'hot')).status < 300, `stampede/${i} was not written`);
      const proof = await killing.begin(panels);
      startedMs = performance.now();
      await killing.end(panels);
      return `${proof}, and was started at once with an empty cache`;
    },
    end: async () => undefined,
    async after(panels) {
      reads = await callsMade(panels, part, 'log', 'read');
      // What the user of the panel asks of the log besides: what was never written, again and again, and each of what it has read before.
      const besides = Math.ceil((performance.now() - startedMs) / PERIOD_MS) + WARM_KEYS;
      prove(reads > 0 && reads <= besides + HOT_KEYS, `${reads} reads of the log, of which ${besides} at most are of others`);
      return `the log was read ${reads} times since, ${besides} times at most for others`;
    },
  };
  const options: CrowdOptions = { users: 24, pauseMs: 20, repeatsMax: 0, want: (_, n) => ['GET', `stampede/${n % HOT_KEYS}`] };
  return withCrowd(
    restart,
    (panels) => panels.address.urls[arm],
    options,
    (during) => `${during.attempts} reads of ${HOT_KEYS} keys by ${options.users} users`,
  );
}
