import type { BenchRun, Figures, Job } from '../bench-run.js';
import type { Load } from '../loads.js';
import { percentile } from '../loads.js';
import type { PeerName } from '../peers/peer.js';
import type { Measured } from '../processes.js';
import { PeerProcesses } from '../processes.js';

interface Phase {
  readonly row: string;
  readonly load: Load;
  /** Undefined: all. */
  readonly peers?: readonly PeerName[];
}

/** In this order in each pair of processes, after a warm-up that is not counted. */
const PHASES: readonly Phase[] = [
  { row: 'lockstep', load: { kind: 'lockstep', key: 'small', width: 128, milliseconds: 800 } },
  { row: 'sixteen', load: { kind: 'loop', key: 'small', callers: 16, milliseconds: 700 } },
  { row: 'one', load: { kind: 'loop', key: 'small', callers: 1, milliseconds: 1_000 } },
  { row: 'large', load: { kind: 'loop', key: 'large', callers: 32, milliseconds: 700 }, peers: ['port', 'nats'] },
];
/** Code is compiled in full only after some thousands of calls. */
const WARM_UP: Load = { kind: 'lockstep', key: 'small', width: 128, milliseconds: 600, callsMin: 20_000, millisecondsMax: 3_000 };
const WARM_LARGE_MS = 200;

/** One calling process, one serving process. */
export function oneCallerJobs(run: BenchRun, peers: readonly PeerName[], wanted: (row: string) => boolean): Job[] {
  return peers.flatMap((peer) => {
    const phases = PHASES.filter(({ row, peers }) => wanted(row) && (peers?.includes(peer) ?? true));
    return phases.length === 0 ? [] : [{ arm: peer, run: () => measurePair(run, peer, phases) }];
  });
}

async function measurePair(run: BenchRun, peer: PeerName, phases: readonly Phase[]): Promise<Array<{ row: string; figures: Figures }>> {
  await using pair = await PeerProcesses.start(run, peer, 1, 1);
  const measured = [];
  await pair.measure(() => WARM_UP);
  for (const { row, load } of phases) {
    if (load.key === 'large') await pair.measure(() => ({ ...load, milliseconds: WARM_LARGE_MS }));
    measured.push({ row, figures: figuresOf(await pair.measure(() => load)) });
  }
  return measured;
}

function figuresOf({ results, callsPerSecond, callsPerFrame, cpuUsPerCall }: Measured): Figures {
  const { latenciesMs } = results[0]!;
  return {
    callsPerSecond,
    callsPerFrame,
    cpuUsPerCall,
    ...(latenciesMs.length > 0 && { p50Us: percentile(latenciesMs, 0.5) * 1_000, p99Us: percentile(latenciesMs, 0.99) * 1_000 }),
  };
}
