import { systemClock, within } from '@diptych/kernel';
import { connectNats, inProcess, loopback } from '@diptych/messaging';
import { startNatsServer, startProcess, pinned, cpuMsOf } from '@diptych/testing';
import { childModule } from '../../child-module.js';
import { MachineGate } from '../../gates.js';
import { seededRandom, shuffled } from '../../load/random.js';
import type { Experiment } from '../../results.js';
import { median } from '../../statistics/wilcoxon.js';
import type { LabContext } from '../context.js';
import { echo, echoPort, type EchoPort } from './echo.port.js';

export interface LadderSizes {
  readonly rounds: number;
  /** For each of the two measures of each rung, in each round. */
  readonly millisecondsEach: number;
}

export const LADDER_SIZES: LadderSizes = { rounds: 6, millisecondsEach: 250 };

/** The middle one encodes and decodes every call as the third does, and leaves the process no more than the first. */
const RUNGS = ['in-process', 'encoded, same process', 'NATS'] as const;
type Rung = (typeof RUNGS)[number];
const IN_FLIGHT = 64;
/** What "some microseconds" and "some ten times" may be at most and at least, declared before the run. */
const ENCODING_US = { least: 1, most: 20 };
const HOP_OVER_ENCODING = { least: 5, most: 50 };

/** All that decides what a figure of the ladder means, but how long it lasts. */
export const LADDER_MEASUREMENT = { rungs: RUNGS, inFlight: IN_FLIGHT, expected: { ENCODING_US, HOP_OVER_ENCODING } };

interface RungRound {
  readonly order: number;
  readonly aloneUs: number;
  readonly callsPerSecond: number;
  readonly cpuUsPerCall: number | undefined;
}

/**
 * What one port call costs by binding, everything else equal: a call, then encoding and decoding, then another process behind a
 * broker. The steps between the rungs are the parts of the hop tax.
 */
export async function costLadder(lab: LabContext, sizes: LadderSizes = LADDER_SIZES): Promise<Experiment> {
  lab.progress.step('cost ladder: one call, in-process, encoded, NATS', ladderSeconds(sizes));
  const machine = new MachineGate();
  machine.begin();
  const rounds = await roundsOf(lab, sizes);
  // Its processes have ended by now, so that what they used is known to be the lab's own.
  const why = machine.end();
  if (why !== undefined) lab.voidBlocks.push({ experiment: 'cost-ladder', block: 0, arm: 'machine', why });
  return asExperiment(rounds, why);
}

async function roundsOf(lab: LabContext, sizes: LadderSizes): Promise<Record<Rung, RungRound[]>> {
  await using broker = await startNatsServer();
  const far = pinned(lab.profile.generator, process.execPath, [
    ...process.execArgv,
    childModule(import.meta.url, './echo-server-main'),
    broker.url,
  ]);
  await using server = await startProcess({ ...far, name: 'echo server', ready: /ready/ });
  const link = await connectNats({ servers: broker.url, name: 'lab-ladder' });
  await using _closing = { [Symbol.asyncDispose]: () => link.close(1_000) };
  const ports: Record<Rung, EchoPort> = {
    'in-process': inProcess(echoPort, echo()),
    'encoded, same process': loopback(echoPort, echo()),
    NATS: link.client(echoPort),
  };
  const pids: Record<Rung, number[]> = {
    'in-process': [process.pid],
    'encoded, same process': [process.pid],
    NATS: [process.pid, broker.pid, server.pid],
  };
  const rounds: Record<Rung, RungRound[]> = { 'in-process': [], 'encoded, same process': [], NATS: [] };
  for (let round = 0; round <= sizes.rounds && !lab.signal.aborted; round++) {
    for (const [order, rung] of shuffled(RUNGS, seededRandom(lab.seed, `ladder ${round}`)).entries()) {
      const measured = { order, ...(await measureRung(ports[rung], pids[rung], sizes.millisecondsEach)) };
      // The first round warms the compiler up.
      if (round > 0) rounds[rung].push(measured);
    }
  }
  return rounds;
}

export function ladderSeconds(sizes: LadderSizes): number {
  return 2 + ((sizes.rounds + 1) * RUNGS.length * 2 * sizes.millisecondsEach) / 1000;
}

async function measureRung(port: EchoPort, pids: readonly number[], milliseconds: number): Promise<Omit<RungRound, 'order'>> {
  const alone: number[] = [];
  const endAloneMs = systemClock.nowMs() + milliseconds;
  for (let nowMs = systemClock.nowMs(); nowMs < endAloneMs;) {
    await port.get({ key: 'k' }, within(2_000));
    const thenMs = systemClock.nowMs();
    alone.push((thenMs - nowMs) * 1000);
    nowMs = thenMs;
  }
  const cpuBefore = cpuMsOf(pids);
  const startMs = systemClock.nowMs();
  const endMs = startMs + milliseconds;
  let calls = 0;
  const caller = async () => {
    for (; systemClock.nowMs() < endMs; calls++) {
      await port.get({ key: 'k' }, within(2_000));
      // In-process calls settle in microtasks: let timers and the signal handlers have their turn.
      if (calls % 4096 === 4095) await new Promise(setImmediate);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, caller));
  const elapsedMs = systemClock.nowMs() - startMs;
  const cpuAfter = cpuMsOf(pids);
  const cpuUsPerCall = cpuBefore === undefined || cpuAfter === undefined ? undefined : ((cpuAfter - cpuBefore) * 1000) / calls;
  return { aloneUs: median(alone), callsPerSecond: (calls / elapsedMs) * 1000, cpuUsPerCall };
}

function asExperiment(rounds: Record<Rung, RungRound[]>, disturbed: string | undefined): Experiment {
  const runs = RUNGS.flatMap((rung) =>
    rounds[rung].map((round, block) => ({
      block,
      order: round.order,
      arm: rung === 'NATS' ? ('services' as const) : ('monolith' as const),
      label: rung,
      valid: disturbed === undefined,
      metrics: {
        aloneUs: round.aloneUs,
        callsPerSecond: round.callsPerSecond,
        ...(round.cpuUsPerCall !== undefined && { cpuUsPerCall: round.cpuUsPerCall }),
      },
      series: [],
    })),
  );
  const middle = (rung: Rung, figure: keyof RungRound) => median(rounds[rung].map((round) => round[figure] ?? Number.NaN));
  const range = (rung: Rung) => {
    const values = rounds[rung].map(({ aloneUs }) => aloneUs);
    return `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)} in ${values.length} rounds`;
  };
  const measured = RUNGS.filter((rung) => rounds[rung].length > 0);
  return {
    id: 'cost-ladder',
    title: 'Cost ladder',
    claim: 'The cost of a microservice is the network.',
    expectation: 'Encoding costs some microseconds, the hop through the broker some ten times that.',
    caveat: `A port that does nothing, 256 bytes back; ${IN_FLIGHT} in flight for rate and CPU; the near end and the broker are not pinned, and each call's time holds a look at the clock. No paired comparison: medians and ranges.`,
    runs,
    contrasts: [],
    unexpected: disturbed !== undefined || measured.length < RUNGS.length ? [] : unexpectedOf((rung) => middle(rung, 'aloneUs')),
    findings: measured.map(
      (rung) =>
        `${disturbed === undefined ? '' : 'Void, the machine was disturbed. '}${rung}: ${middle(rung, 'aloneUs').toFixed(1)} µs (${range(rung)}) for a lone call, ${Math.round(middle(rung, 'callsPerSecond')).toLocaleString('en')} calls/s and ${middle(rung, 'cpuUsPerCall').toFixed(1)} µs of CPU a call with ${IN_FLIGHT} in flight.`,
    ),
  };
}

/** @param aloneUs what a lone call takes on a rung */
export function unexpectedOf(aloneUs: (rung: Rung) => number): string[] {
  const encodingUs = aloneUs('encoded, same process') - aloneUs('in-process');
  const times = (aloneUs('NATS') - aloneUs('encoded, same process')) / encodingUs;
  if (encodingUs < ENCODING_US.least || encodingUs > ENCODING_US.most)
    return [`encoding cost ${encodingUs.toFixed(1)} µs a call, expected ${ENCODING_US.least} to ${ENCODING_US.most}`];
  return times < HOP_OVER_ENCODING.least || times > HOP_OVER_ENCODING.most
    ? [`the hop cost ${times.toFixed(0)} times the encoding, expected ${HOP_OVER_ENCODING.least} to ${HOP_OVER_ENCODING.most}`]
    : [];
}
