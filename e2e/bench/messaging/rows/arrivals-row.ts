import type { BenchRun, Figures, Job } from '../bench-run.js';
import type { Load } from '../loads.js';
import { machineNowMs, percentile } from '../loads.js';
import { OTHERS } from '../peers/peer.js';
import type { PeerName } from '../peers/peer.js';
import { PeerProcesses } from '../processes.js';

const CALLERS = 4;
const SERVERS = 3;
const IN_FLIGHT_AT_PEAK = 32;
const PEAK_MS = 1_000;
/** Half the peak would take long to have the code compiled; so all arms are warmed up at full load first. */
const WARM_UP: Load = { kind: 'lockstep', key: 'small', width: 16, milliseconds: 500, callsMin: 5_000, millisecondsMax: 2_000 };
const WARM_MS = 500;
/** A stall of 10 ms makes a hundred calls late together: of 1.8 s one or two such stalls would be the p99, of this time it takes five or six. */
const COUNTED_MS = 6_000;
/** From the order to the first arrival: long enough for all callers to have their schedule. */
const LEAD_MS = 150;

/** Poisson arrivals from four callers to three servers, at half of what the weakest of the others can do in that very arrangement. */
export async function arrivalsJobs(run: BenchRun): Promise<Job[]> {
  const peaks: Record<string, number> = {};
  for (const peer of run.shuffled(OTHERS)) peaks[peer] = await peakOf(run, peer);
  const ratePerSecond = Math.min(...Object.values(peaks)) / 2;
  run.facts.arrivals = { peaksPerSecond: peaks, ratePerSecond };
  return (['port', ...OTHERS] as const).map((peer) => ({ arm: peer, run: (round) => measureArrivals(run, peer, ratePerSecond, round) }));
}

async function peakOf(run: BenchRun, peer: PeerName): Promise<number> {
  await using processes = await PeerProcesses.start(run, peer, CALLERS, SERVERS);
  await processes.measure(() => WARM_UP);
  const { callsPerSecond } = await processes.measure(() => ({
    kind: 'loop',
    key: 'small',
    callers: IN_FLIGHT_AT_PEAK,
    milliseconds: PEAK_MS,
  }));
  return callsPerSecond;
}

async function measureArrivals(
  run: BenchRun,
  peer: PeerName,
  ratePerSecond: number,
  round: number,
): Promise<Array<{ row: string; figures: Figures }>> {
  await using processes = await PeerProcesses.start(run, peer, CALLERS, SERVERS);
  await processes.measure(() => WARM_UP);
  const startMs = machineNowMs() + LEAD_MS;
  const measured = await processes.measure((caller) => ({
    kind: 'arrivals',
    key: 'small',
    // The same arrivals for every peer of a round.
    seed: run.seed + round * CALLERS + caller,
    ratePerSecond: ratePerSecond / CALLERS,
    startMs,
    warmMs: WARM_MS,
    milliseconds: WARM_MS + COUNTED_MS,
  }));
  const latenciesMs = merged(measured.results.map((result) => result.latenciesMs));
  const latenessMs = merged(measured.results.map((result) => result.latenessMs));
  const countedShare = COUNTED_MS / (WARM_MS + COUNTED_MS);
  const figures = {
    callsPerSecond: measured.callsPerSecond,
    p50Us: percentile(latenciesMs, 0.5) * 1_000,
    p99Us: percentile(latenciesMs, 0.99) * 1_000,
    // The broker has counted the warm-up too.
    callsPerFrame: measured.callsPerFrame / countedShare,
    cpuUsPerCall: measured.cpuUsPerCall * countedShare,
    latenessP50Us: percentile(latenessMs, 0.5) * 1_000,
    latenessP99Us: percentile(latenessMs, 0.99) * 1_000,
    failures: measured.results.reduce((sum, { failures }) => sum + failures, 0),
  };
  return [{ row: 'arrivals', figures }];
}

/** The latencies of all callers together: percentiles are not averaged. */
function merged(parts: readonly Float64Array[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
