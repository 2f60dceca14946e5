import { systemClock } from '@diptych/kernel';
import { arrivals } from './arrivals.js';
import type { Load, LoadResult, Lockstep, Loop } from './loads.js';
import { PEERS, VALUES } from './peers/peer.js';
import type { Caller, Key, PeerName } from './peers/peer.js';

/**
 * The calling process of one peer: `caller-main.js <peer> <url of the broker>`. It does each load that its parent asks for, and answers with what
 * came of it.
 */
const [name, url] = process.argv.slice(2) as [PeerName, string];
const { peer } = await PEERS[name]();
const caller = checked(await peer.connect(url));
for (const [key, value] of Object.entries(VALUES)) {
  const answer = Buffer.from(await caller.get(key as Key)).toString();
  if (answer !== value) throw new Error(`${name} answers something else; it is disqualified`);
}
process.on('disconnect', () => process.exit());
process.on('message', (load: Load) => {
  perform(load).then(
    (result) => process.send!(result),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
console.log('ready');

function perform(load: Load): Promise<LoadResult> {
  switch (load.kind) {
    case 'lockstep':
      return lockstep(load);
    case 'loop':
      return loop(load);
    case 'arrivals':
      return arrivals(caller, load);
  }
}

async function lockstep({ key, width, milliseconds, callsMin = 0, millisecondsMax = milliseconds }: Lockstep): Promise<LoadResult> {
  const startMs = systemClock.nowMs();
  let elapsedMs = 0;
  let calls = 0;
  for (; elapsedMs < milliseconds || (calls < callsMin && elapsedMs < millisecondsMax); calls += width) {
    await Promise.all(Array.from({ length: width }, () => caller.get(key)));
    elapsedMs = systemClock.nowMs() - startMs;
  }
  return { calls, elapsedMs, latenciesMs: new Float64Array(), latenessMs: new Float64Array(), failures: 0 };
}

async function loop({ key, callers, milliseconds }: Loop): Promise<LoadResult> {
  const latenciesMs: number[] = [];
  const startMs = systemClock.nowMs();
  const endMs = startMs + milliseconds;
  const work = async () => {
    for (let nowMs = systemClock.nowMs(); nowMs < endMs;) {
      await caller.get(key);
      const thenMs = systemClock.nowMs();
      latenciesMs.push(thenMs - nowMs);
      nowMs = thenMs;
    }
  };
  await Promise.all(Array.from({ length: callers }, work));
  const elapsedMs = systemClock.nowMs() - startMs;
  return { calls: latenciesMs.length, elapsedMs, latenciesMs: Float64Array.from(latenciesMs), latenessMs: new Float64Array(), failures: 0 };
}

/** Each answer is held against its length; the whole of one was looked at before. */
function checked(caller: Caller): Caller {
  return {
    async get(key: Key) {
      const value = await caller.get(key);
      if (value.length !== VALUES[key].length) throw new Error(`${name} answered ${value.length} bytes; it is disqualified`);
      return value;
    },
  };
}
