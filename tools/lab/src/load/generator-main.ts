import { setPriority } from 'node:os';
import { generate, writeHistory, type Window } from './generator.js';
import type { LoadPlan } from './schedule.js';
import { summarize, type LoadResult } from './summary.js';

// Whoever runs beside it, a container engine for one, would make it late; where that is not allowed, the gate says if it was.
try {
  setPriority(-10);
} catch {
  // Not root.
}

/**
 * The generator as a process of its own, so that its event loop is nobody else's: a plan on standard input, and on standard output a line for
 * when the schedule begins, for each window, when all is answered, and then one with the summary, all JSON. SIGTERM ends the run early and keeps what was measured;
 * SIGUSR2 ends it when what was sent is answered.
 */
export type GeneratorLine = { readonly phase: 'sending' | 'sent' } | { readonly window: Window } | { readonly result: LoadResult };

const stop = new AbortController();
const enough = new AbortController();
process.on('SIGUSR2', () => enough.abort());
process.once('SIGTERM', () => stop.abort());
// A terminal's Ctrl-C reaches the whole group; the lab decides what ends when.
process.on('SIGINT', () => undefined);

const chunks: Buffer[] = [];
for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
const plan = JSON.parse(Buffer.concat(chunks).toString()) as LoadPlan;

const say = (line: GeneratorLine) => new Promise<void>((resolve) => process.stdout.write(`${JSON.stringify(line)}\n`, () => resolve()));
const recording = await generate(
  plan,
  stop.signal,
  (window) => void say({ window }),
  () => void say({ phase: 'sending' }),
  enough.signal,
);
// Before the history is written: what the system under test did is over.
await say({ phase: 'sent' });
if (plan.historyFile !== undefined) await writeHistory(plan.historyFile, plan, recording);
await say({ result: summarize(plan, recording) });
process.exit(0);
