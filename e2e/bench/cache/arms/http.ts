import { Arm, cpuMsOf, MONOLITHS, seededRandom } from '@diptych/testing';
import { HttpClient } from '../../../support/http-client.js';
import { shuffled } from '../../arms.js';
import { median } from '../../figures.js';
import type { Figures } from '../../messaging/bench-run.js';
import { assertAnswers, wrk } from '../../wrk.js';
import { VALUE_BYTES } from './load.js';

/** Enough that the kernel, which deals out connections and not requests, gives each thread about as many. */
const CONNECTIONS = 64;
const WARM_SECONDS = 3;
const SLICE_SECONDS = 1;
const SLICES = 4;
const KEY = 'bench';
const VALUE = 'x'.repeat(VALUE_BYTES);

/**
 * A cached GET over HTTP from the monolith of one thread and the one of two, both started once, in slices of a second that take turns in random order;
 * nothing is pinned, so that the load generator has the same cores as they. One key: all threads want the lock of the same shard.
 */
export async function http({ seed }: { seed: number }): Promise<Record<string, Figures>> {
  const random = seededRandom(seed);
  await using running = new AsyncDisposableStack();
  const arms: Array<{ readonly arm: Arm; readonly slices: Figures[] }> = [];
  for (const spec of MONOLITHS) {
    const arm = running.use(await Arm.start(spec));
    await using client = new HttpClient(arm.url);
    const { status } = await client.put(KEY, VALUE);
    if (status !== 201) throw new Error(`${spec.name} did not take the entry: ${status}`);
    arms.push({ arm, slices: [] });
    await load(arm, WARM_SECONDS);
  }
  for (let slice = 0; slice < SLICES; slice++)
    for (const { arm, slices } of shuffled(arms, random)) slices.push(await load(arm, SLICE_SECONDS));
  return Object.fromEntries(arms.map(({ arm, slices }) => [arm.spec.name, medians(slices)]));
}

async function load(arm: Arm, seconds: number): Promise<Figures> {
  await assertAnswers(arm.spec.name, arm.url, `/v1/keys/${KEY}`, VALUE);
  const beforeMs = cpuMsOf(arm.pids) ?? Number.NaN;
  const { requestsPerSecond, latencyMsP99 } = await wrk({ url: `${arm.url}/v1/keys/${KEY}`, connections: CONNECTIONS, seconds });
  const cpuMs = (cpuMsOf(arm.pids) ?? Number.NaN) - beforeMs;
  return { requestsPerSecond, p99Us: latencyMsP99 * 1_000, cpuUsPerRequest: (cpuMs * 1_000) / (requestsPerSecond * seconds) };
}

function medians(slices: readonly Figures[]): Figures {
  return Object.fromEntries(Object.keys(slices[0]!).map((name) => [name, median(slices.map((figures) => figures[name]!))]));
}
