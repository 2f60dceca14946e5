/**
 * What guards cost a call that goes well.
 *
 * Goal: microseconds of a call through the in-process binding over a bare async call (bar: at most 1), and of our guards beside the same policies put
 * together with the library alone (bar: at most 1.5 times), around a bare call and around the port. Not a goal: figures that hold on another machine;
 * compare only within a run. Each contender is checked before it is timed, and the rounds take turns. Time is processor time of
 * this process, garbage collection included, because others may be busy on the machine.
 *
 *   npx tsx --conditions=@diptych/source libs/resilience/src/guards.bench.ts [--rounds 15] [--calls 100000]
 *
 * Prints medians and writes every round to `results/bench-guards/<time>.json`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import type { CallContext } from '@diptych/kernel';
import { within } from '@diptych/kernel';
import { definePort, inProcess } from '@diptych/messaging';
import { bulkhead, circuitBreaker, ExponentialBackoff, fullJitterGenerator, handleWhen, retry, SamplingBreaker, wrap } from 'cockatiel';
import { Type } from 'typebox';
import { evidenceOf, isRepeatable } from './blame.js';
import { DEFAULT_GUARDS } from './guard-options.js';
import { guard } from './guard.js';
import { shed } from './shed.js';

interface CounterPort {
  add(request: { n: number }, context: CallContext): Promise<{ n: number }>;
}

const N = Type.Object({ n: Type.Integer() });
const counterPort = definePort<CounterPort>({
  name: 'counter',
  version: 1,
  methods: { add: { kind: 'unary', request: N, reply: N, safeToRepeat: true } },
});

const bare: CounterPort = { add: async ({ n }) => ({ n: n + 1 }) };
const { retry: retrying, breaker, bulkhead: places } = DEFAULT_GUARDS;
const guards = { retry: retrying, breaker, bulkhead: places };

/** The same policies with the same figures, by the library alone: no budget, no deadlines, no judging of errors beyond a filter. */
function byLibrary(port: CounterPort): CounterPort {
  const { attemptsMax, firstWaitMs: initialDelay, waitMsMax: maxDelay } = retrying;
  const { failureRatio: threshold, windowMs: duration, callsMin, openMs: halfOpenAfter, patienceMs } = breaker;
  const policy = wrap(
    retry(
      handleWhen((error) => isRepeatable(error, 'counter', true)),
      { maxAttempts: attemptsMax - 1, backoff: new ExponentialBackoff({ generator: fullJitterGenerator, initialDelay, maxDelay }) },
    ),
    circuitBreaker(
      handleWhen((error) => evidenceOf(error, 'counter', Infinity, patienceMs) === 'failure'),
      { halfOpenAfter, breaker: new SamplingBreaker({ threshold, duration, minimumRps: (callsMin * 1_000) / duration }) },
    ),
    bulkhead(places.concurrentMax, places.queueMax),
  );
  return { add: (request, context) => policy.execute(() => port.add(request, context)) };
}

const CONTENDERS: Record<string, CounterPort> = {
  'a bare async call': bare,
  'in-process port, guards off': inProcess(counterPort, bare),
  'bare call, guards': guard(counterPort, bare, guards),
  'bare call, the library alone': byLibrary(bare),
  'in-process port, guards': guard(counterPort, inProcess(counterPort, bare), guards),
  'in-process port, the library alone': byLibrary(inProcess(counterPort, bare)),
  'in-process port, guards and shedding': guard(counterPort, inProcess(counterPort, shed(counterPort, bare, DEFAULT_GUARDS.shed)), guards),
};

async function run(port: CounterPort, calls: number): Promise<number> {
  const context = within(600_000);
  let n = 0;
  for (let call = 0; call < calls; call++) n = (await port.add({ n }, context)).n;
  return n;
}

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '15' }, calls: { type: 'string', default: '100000' } } });
const rounds = Number(values.rounds);
const calls = Number(values.calls);

for (const [name, port] of Object.entries(CONTENDERS)) {
  const result = await run(port, calls);
  if (result !== calls) throw new Error(`${name} gives ${result} instead of ${calls}; not timed`);
}

const microsOf: Record<string, number[]> = Object.fromEntries(Object.keys(CONTENDERS).map((name) => [name, []]));
for (let round = 0; round < rounds; round++) {
  for (const [name, port] of Object.entries(CONTENDERS)) {
    const start = process.cpuUsage();
    await run(port, calls);
    const { user, system } = process.cpuUsage(start);
    microsOf[name]!.push((user + system) / calls);
  }
}

const median = (figures: readonly number[]) => [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)]!;
/** Of each round by itself, since what disturbs one contender disturbs its neighbours. */
const medianOf = (figure: (round: (name: string) => number) => number) =>
  median(Array.from({ length: rounds }, (_, i) => figure((name) => microsOf[name]![i]!)));

const machine = {
  processor: cpus()[0]?.model ?? 'unknown',
  cores: availableParallelism(),
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  node: process.version,
  platform: `${process.platform} ${process.arch}`,
};
console.info(`${machine.processor}, ${machine.cores} cores, Node ${machine.node}, ${machine.platform}; ${rounds} rounds of ${calls}\n`);
console.info('| µs of processor time a call | median | least | most |\n|---|---|---|---|');
for (const [name, figures] of Object.entries(microsOf))
  console.info(
    `| ${name} | ${[median(figures), Math.min(...figures), Math.max(...figures)].map((figure) => figure.toFixed(2)).join(' | ')} |`,
  );
const summary = {
  portOverBareMicros: medianOf((of) => of('in-process port, guards off') - of('a bare async call')),
  guardsOverLibraryBare: medianOf((of) => of('bare call, guards') / of('bare call, the library alone')),
  guardsOverLibraryPort: medianOf((of) => of('in-process port, guards') / of('in-process port, the library alone')),
};
console.info(
  `\nport over a bare call: ${summary.portOverBareMicros.toFixed(2)} µs (bar 1); guards over the library alone: ` +
    `${summary.guardsOverLibraryBare.toFixed(2)} around a bare call, ${summary.guardsOverLibraryPort.toFixed(2)} around the port (bar 1.5)`,
);
const at = new Date().toISOString();
mkdirSync('results/bench-guards', { recursive: true });
const path = `results/bench-guards/${at.replaceAll(':', '-')}.json`;
writeFileSync(path, `${JSON.stringify({ at, machine, rounds, calls, microsOf, summary }, undefined, 2)}\n`);
console.info(`\nevery round: ${path}`);
