import { writeFileSync } from 'node:fs';
import { generate, writeHistory } from './generator.js';
import type { LoadPlan } from './schedule.js';
import { summarize } from './summary.js';

/**
 * The generator as a process of its own, so that its event loop is nobody else's: plan on standard input, summary on standard
 * output, both JSON. SIGTERM ends the run early and keeps what was measured.
 */
const chunks: Buffer[] = [];
for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
const plan = JSON.parse(Buffer.concat(chunks).toString()) as LoadPlan;

const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
// A terminal's Ctrl-C reaches the whole group; the lab decides what ends when.
process.on('SIGINT', () => undefined);

const recording = await generate(plan, stop.signal);
if (plan.historyFile !== undefined) await writeHistory(plan.historyFile, plan, recording);
writeFileSync(process.stdout.fd, JSON.stringify(summarize(plan, recording)));
process.exit(0);
