import type { CallContext, Clock } from '@diptych/kernel';
import { assertAlive, DeadlineWheel, deadlines, DiptychError, settleWithin, systemClock } from '@diptych/kernel';
import type { CommitEvent, LogPort, Report, ReportRequest } from './log.port.js';

/**
 * Reports that are kept until a key under their prefix commits: memory for the CPU time of computing them again. Where the log is, and not in the caches:
 * commits are heard there in the very step that makes them visible, so a kept report is never old, whoever asks and by whichever binding.
 *
 * A report that is asked for by many at once is computed once. A commit under its prefix *overtakes* it: it still answers those who wait, whoever comes
 * later starts a new one, and it is kept only if it shows that commit. When all who wait have given up it is ended: nobody else would pay for it.
 *
 * What it shows is true of every revision since, as nothing under the prefix has changed; so that is what its `asOf` says.
 */
export class KeptReports implements Disposable {
  readonly #log: LogPort;
  readonly #options: KeptReportsOptions;
  readonly #clock: Clock;
  readonly #wheel: DeadlineWheel;
  /** By prefix, the least recently used first. */
  readonly #kept = new Map<string, Kept>();
  readonly #flying = new Set<Flight>();
  /** By prefix: those that nothing has overtaken. */
  readonly #joinable = new Map<string, Flight>();
  #subscription: Disposable | undefined;
  #headRevision = 0;
  #bytes = 0;
  #hits = 0;
  #misses = 0;
  #dropped = 0;

  private constructor(log: LogPort, options: KeptReportsOptions) {
    this.#log = log;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#wheel = options.clock ? new DeadlineWheel({ clock: options.clock }) : deadlines;
  }

  /** @throws INVALID_REQUEST when the log is not in this process, so that commits would come late; what `commits` throws */
  static async open(log: LogPort, options: KeptReportsOptions): Promise<KeptReports> {
    const reports = new KeptReports(log, options);
    const subscription = await log.commits((event) => reports.#onEvent(event));
    reports.#subscription = subscription;
    if (subscription.delivery === 'synchronous') return reports;
    reports[Symbol.dispose]();
    throw new DiptychError('INVALID_REQUEST', 'reports can be kept only where commits are heard in the step that makes them visible');
  }

  counts(): KeptReportsCounts {
    return { kept: this.#kept.size, bytes: this.#bytes, hits: this.#hits, misses: this.#misses, dropped: this.#dropped };
  }

  async report({ prefix }: ReportRequest, context: CallContext): Promise<Report> {
    assertAlive(context, this.#clock);
    const kept = this.#kept.get(prefix);
    if (kept) {
      this.#hits++;
      this.#kept.delete(prefix);
      this.#kept.set(prefix, kept);
      return asOfAtLeast(kept.report, this.#headRevision);
    }
    this.#misses++;
    const flight = this.#joinable.get(prefix) ?? this.#begin(prefix, context.traceparent);
    flight.waiting++;
    try {
      return await settleWithin(flight.answer, context, 'log.report', this.#wheel);
    } finally {
      if (--flight.waiting === 0) this.#end(flight);
    }
  }

  /** Keeps nothing any more, and ends what is under way. Safe to repeat. */
  [Symbol.dispose](): void {
    this.#subscription?.[Symbol.dispose]();
    for (const flight of [...this.#flying]) this.#end(flight);
    for (const prefix of [...this.#kept.keys()]) this.#drop(prefix);
  }

  #begin(prefix: string, traceparent: string | undefined): Flight {
    const abort = new AbortController();
    const context = { deadlineMs: this.#clock.nowMs() + FLIGHT_MS_MAX, signal: abort.signal, traceparent };
    const computed = this.#log.report({ prefix }, context);
    const answer = computed.then(
      (report) => this.#land(flight, report),
      (error: unknown) => {
        this.#forget(flight);
        throw error;
      },
    );
    const flight: Flight = { prefix, abort, answer, waiting: 0, overtakenFirstBy: 0, overtakenBy: 0 };
    this.#flying.add(flight);
    // A prefix that is no text may stand for the bytes of another, and then commits would not be told apart by it.
    if (prefix.isWellFormed()) this.#joinable.set(prefix, flight);
    // Nobody may be waiting when it fails.
    answer.catch(() => undefined);
    return flight;
  }

  /** @returns the report as of the newest revision that it is known to be true of: whoever joined late may have read something newer than what it was computed from */
  #land(flight: Flight, report: Report): Report {
    const { prefix, overtakenFirstBy, overtakenBy } = flight;
    if (!this.#forget(flight) || !prefix.isWellFormed()) return report;
    if (overtakenFirstBy > report.asOf.revision) return asOfAtLeast(report, overtakenFirstBy - 1);
    if (overtakenBy > report.asOf.revision) return report;
    this.#keep(prefix, report);
    return asOfAtLeast(report, this.#headRevision);
  }

  #keep(prefix: string, report: Report): void {
    this.#drop(prefix);
    const bytes = weightOf(prefix, report);
    this.#kept.set(prefix, { report, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= this.#options.reportsMax) break;
      this.#drop(oldest);
    }
  }

  #end(flight: Flight): void {
    if (this.#forget(flight)) flight.abort.abort(new DiptychError('CANCELLED', 'nobody waits for the report any more'));
  }

  /** False when it was forgotten before. */
  #forget(flight: Flight): boolean {
    if (this.#joinable.get(flight.prefix) === flight) this.#joinable.delete(flight.prefix);
    return this.#flying.delete(flight);
  }

  #onEvent(event: CommitEvent): void {
    if (event.kind === 'beacon') return;
    const { key, revision } = event.commit;
    this.#headRevision = revision;
    for (const prefix of this.#kept.keys()) {
      if (!key.startsWith(prefix)) continue;
      this.#drop(prefix);
      this.#dropped++;
    }
    for (const flight of this.#flying) {
      if (!key.startsWith(flight.prefix)) continue;
      flight.overtakenFirstBy ||= revision;
      flight.overtakenBy = revision;
      if (this.#joinable.get(flight.prefix) === flight) this.#joinable.delete(flight.prefix);
    }
  }

  #drop(prefix: string): void {
    const kept = this.#kept.get(prefix);
    if (!kept) return;
    this.#kept.delete(prefix);
    this.#bytes -= kept.bytes;
  }
}

/** The same log, whose reports are kept. */
export function keepingReports(log: LogPort, reports: KeptReports): LogPort {
  return {
    append: (request, context) => log.append(request, context),
    read: (request, context) => log.read(request, context),
    list: (request, context) => log.list(request, context),
    report: (request, context) => reports.report(request, context),
    committed: (request, context) => log.committed(request, context),
    commits: (listener) => log.commits(listener),
  };
}

export interface KeptReportsOptions {
  /** 1 or more; the least recently used is dropped first. One takes at most some 5 kB, as a report's lists and prefix are bounded. */
  readonly reportsMax: number;
  readonly clock?: Clock;
}

export interface KeptReportsCounts {
  readonly kept: number;
  readonly bytes: number;
  /** Answered from what was kept. */
  readonly hits: number;
  /** Computed, or answered with what somebody else had begun. */
  readonly misses: number;
  /** Times that a commit made one worthless. */
  readonly dropped: number;
}

interface Kept {
  readonly report: Report;
  readonly bytes: number;
}

interface Flight {
  readonly prefix: string;
  readonly abort: AbortController;
  readonly answer: Promise<Report>;
  waiting: number;
  /** The first commit under the prefix since it began, and the newest; 0: none. */
  overtakenFirstBy: number;
  overtakenBy: number;
}

function asOfAtLeast(report: Report, revision: number): Report {
  return { ...report, asOf: { ...report.asOf, revision: Math.max(report.asOf.revision, revision) } };
}

function weightOf(prefix: string, { sizes, topTrigrams }: Report): number {
  return REPORT_BYTES + 2 * prefix.length + 8 * sizes.length + TRIGRAM_BYTES * topTrigrams.length;
}

/** Nobody asks for longer: every caller's own deadline comes before. */
const FLIGHT_MS_MAX = 3_600_000;
/** Measured on Node 24 as heap growth over 20,000 of them, and rounded up: with 21 sizes and 16 trigrams about 2 kB. */
const REPORT_BYTES = 640;
const TRIGRAM_BYTES = 80;
