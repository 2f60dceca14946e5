import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { systemClock } from '@diptych/kernel';
import { HttpClient } from './http-client.js';
import { operationFor, OUTCOMES, type Outcome } from './operations.js';
import { poissonSchedule, type LoadPlan, type Schedule } from './schedule.js';

/** What became of every operation of the schedule, by index. Times are milliseconds since the start of the run. */
export interface Recording {
  readonly schedule: Schedule;
  readonly sentMs: Float64Array;
  readonly doneMs: Float64Array;
  readonly status: Uint16Array;
  /** Index into `OUTCOMES`. */
  readonly outcome: Uint8Array;
  readonly startedWallMs: number;
  readonly cpuMs: number;
  readonly elapsedMs: number;
}

/** How often due requests are looked for. A finer timer cost 90 % of a core in trials, this one 7 % at 3,000 a second. */
const PACE_MS = 1;

/** What can be said of a stretch of a run while the run goes on. */
export interface Window {
  /** Of the requests scheduled in it; one without an answer counts as slower than all others. */
  readonly p50Ms: number;
  readonly good: number;
}

/**
 * Runs a plan and returns what became of each operation. Ends early, keeping what it has, when the signal is aborted.
 *
 * @param onBegin called when the schedule begins, with all prepared
 * @param enough ends an open loop early too, but not before all that was sent is answered or given up
 */
export async function generate(
  plan: LoadPlan,
  signal?: AbortSignal,
  onWindow?: (window: Window) => void,
  onBegin?: () => void,
  enough?: AbortSignal,
): Promise<Recording> {
  const schedule = poissonSchedule(plan);
  const recorder = new Recorder(plan, schedule);
  const client = new HttpClient(plan.baseUrl, plan.connections);
  // Of an open loop, as many as Little's law asks for at 10 ms; the rest come when they are needed.
  await client.open(plan.mode === 'open' ? Math.ceil(plan.ratePerSecond / 100) : plan.connections);
  const cpu = process.cpuUsage();
  recorder.start();
  onBegin?.();
  const run =
    plan.mode === 'open'
      ? openLoop(plan, schedule, recorder, client, signal, onWindow, enough)
      : closedLoop(plan, schedule, recorder, client, signal);
  await run;
  const elapsedMs = recorder.now();
  const used = process.cpuUsage(cpu);
  client.close();
  return { ...recorder, schedule, cpuMs: (used.user + used.system) / 1000, elapsedMs };
}

/** Requests leave when they are due, in batches of one pace, whatever became of those before. */
async function openLoop(
  plan: LoadPlan,
  schedule: Schedule,
  recorder: Recorder,
  client: HttpClient,
  signal?: AbortSignal,
  onWindow?: (window: Window) => void,
  enough?: AbortSignal,
): Promise<void> {
  let next = 0;
  let windowFrom = 0;
  let windowEndMs = plan.windowSeconds === undefined ? Number.POSITIVE_INFINITY : plan.windowSeconds * 1000;
  await new Promise<void>((resolve) => {
    const pace = systemClock.every(PACE_MS, () => {
      const now = recorder.now();
      while (next < schedule.length && schedule.atMs[next]! <= now && !enough?.aborted) {
        recorder.send(client, next++);
      }
      recorder.expire(now);
      if (now >= windowEndMs) {
        onWindow?.(recorder.window(windowFrom, next));
        windowFrom = next;
        windowEndMs += plan.windowSeconds! * 1000;
      }
      const over = enough?.aborted || (next === schedule.length && now >= plan.seconds * 1000);
      if ((over && recorder.inFlight === 0) || signal?.aborted) {
        pace[Symbol.dispose]();
        resolve();
      }
    });
  });
}

/** Each connection sends its next request when the one before has been answered, and measures from then: the flattering way. */
async function closedLoop(plan: LoadPlan, schedule: Schedule, recorder: Recorder, client: HttpClient, signal?: AbortSignal): Promise<void> {
  let next = 0;
  await new Promise<void>((resolve) => {
    const sendNext = () => {
      if (next < schedule.length && recorder.now() < plan.seconds * 1000 && !signal?.aborted) recorder.send(client, next++, sendNext);
    };
    for (let client = 0; client < plan.connections; client++) sendNext();
    const pace = systemClock.every(10, () => {
      recorder.expire(recorder.now());
      if (recorder.inFlight > 0 && !signal?.aborted) return;
      pace[Symbol.dispose]();
      resolve();
    });
  });
}

class Recorder {
  readonly sentMs: Float64Array;
  readonly doneMs: Float64Array;
  readonly status: Uint16Array;
  readonly outcome: Uint8Array;
  startedWallMs = 0;
  inFlight = 0;
  #startedMs = 0;
  readonly #plan: LoadPlan;
  readonly #schedule: Schedule;
  /** In the order they were sent: the first is the first to time out. */
  readonly #waiting = new Map<number, { expire: () => void }>();

  constructor(plan: LoadPlan, schedule: Schedule) {
    this.#plan = plan;
    this.#schedule = schedule;
    this.sentMs = new Float64Array(schedule.length).fill(Number.NaN);
    this.doneMs = new Float64Array(schedule.length).fill(Number.NaN);
    this.status = new Uint16Array(schedule.length);
    this.outcome = new Uint8Array(schedule.length);
  }

  start(): void {
    this.#startedMs = systemClock.nowMs();
    this.startedWallMs = systemClock.wallMs();
  }

  now(): number {
    return systemClock.nowMs() - this.#startedMs;
  }

  /** Sends the operation, or notes that every connection was taken. */
  send(client: HttpClient, index: number, whenDone?: () => void): void {
    const stream = this.#schedule.stream[index]!;
    const key = this.#schedule.choosers[stream]!.keyOf(this.#schedule.key[index]!);
    const operation = operationFor(this.#plan.streams[stream]!.capability, key, operationId(this.#plan, index), this.#plan.valueBytes);
    this.sentMs[index] = this.now();
    const exchange = client.send(operation, (outcome, status) => {
      this.#waiting.delete(index);
      this.inFlight--;
      this.#end(index, outcome, status);
      whenDone?.();
    });
    if (!exchange) return this.#end(index, 'unsent', 0);
    this.#waiting.set(index, exchange);
    this.inFlight++;
  }

  window(from: number, to: number): Window {
    const latencies: number[] = [];
    let good = 0;
    for (let i = from; i < to; i++) {
      const isGood = OUTCOMES[this.outcome[i]!] === 'good';
      if (isGood) good++;
      latencies.push(isGood ? this.doneMs[i]! - this.#schedule.atMs[i]! : Number.MAX_VALUE);
    }
    latencies.sort((a, b) => a - b);
    return { p50Ms: latencies[latencies.length >> 1] ?? 0, good };
  }

  expire(now: number): void {
    for (const [index, exchange] of this.#waiting) {
      // A schedule's own lateness counts: the caller has been waiting since then.
      const since = this.#plan.mode === 'open' ? this.#schedule.atMs[index]! : this.sentMs[index]!;
      if (now - since < this.#plan.timeoutMs) return;
      exchange.expire();
    }
  }

  #end(index: number, outcome: Outcome, status: number): void {
    this.doneMs[index] = this.now();
    this.status[index] = status;
    this.outcome[index] = OUTCOMES.indexOf(outcome);
  }
}

function operationId(plan: LoadPlan, index: number): string {
  return `${plan.id}-${index}`;
}

/** A line an operation: what was asked, when, and what became of it. Times are milliseconds since the start of the schedule. */
export async function writeHistory(file: string, plan: LoadPlan, recording: Recording): Promise<void> {
  await pipeline(linesOf(plan, recording), createGzip({ level: 1 }), createWriteStream(file));
}

function* linesOf(plan: LoadPlan, { schedule, sentMs, doneMs, status, outcome }: Recording): Generator<string> {
  let lines = '';
  for (let i = 0; i < schedule.length; i++) {
    const how = OUTCOMES[outcome[i]!]!;
    // Never sent. What was sent when the run was ended may have happened, so it is in.
    if (how === 'pending' && Number.isNaN(sentMs[i]!)) continue;
    const line = {
      id: operationId(plan, i),
      op: plan.streams[schedule.stream[i]!]!.capability,
      key: schedule.choosers[schedule.stream[i]!]!.keyOf(schedule.key[i]!),
      at: rounded(schedule.atMs[i]!),
      sent: rounded(sentMs[i]!),
      done: rounded(doneMs[i]!),
      status: status[i],
      outcome: how,
    };
    lines += `${JSON.stringify(line)}\n`;
    if (lines.length < 65_536) continue;
    yield lines;
    lines = '';
  }
  yield lines;
}

/** To a microsecond; null for what never was. */
function rounded(milliseconds: number): number | null {
  return Number.isNaN(milliseconds) ? null : Math.round(milliseconds * 1000) / 1000;
}
