import type { OperationId } from './operations.js';

/**
 * Counts and times what the edge answers, for a cached read costs less than a labelled `observe` of prom-client does: here it is two
 * additions into arrays, and labels are made at scrape time.
 */
export class EdgeMeter {
  readonly #series = new Map<OperationId, Map<number, Series>>();

  add(operation: OperationId, status: number, durationMs: number): void {
    const series = this.#series.get(operation)?.get(status) ?? this.#begin(operation, status);
    series.counts[bucketOf(durationMs)]!++;
    series.sumMs += durationMs;
  }

  count(operation: OperationId, status: number): number {
    return (
      this.#series
        .get(operation)
        ?.get(status)
        ?.counts.reduce((sum, count) => sum + count, 0) ?? 0
    );
  }

  /** A histogram in the shape a prom-client registry reads. Operations and statuses are a fixed set, so it is bounded. */
  metric(): EdgeMetric {
    return {
      name: NAME,
      help: 'HTTP requests answered by the gateway: how many, how long, by operation and status. 499: the client had gone.',
      type: 'histogram',
      aggregator: 'sum',
      reset: () => this.#series.clear(),
      get: async () => ({ ...this.metric(), values: this.#values() }),
    };
  }

  #begin(operation: OperationId, status: number): Series {
    const statuses = this.#series.get(operation) ?? new Map<number, Series>();
    const series = { counts: new Float64Array(BUCKETS_MS.length + 1), sumMs: 0 };
    this.#series.set(operation, statuses.set(status, series));
    return series;
  }

  #values(): MetricValue[] {
    const values: MetricValue[] = [];
    for (const [operation, statuses] of this.#series) {
      for (const [status, { counts, sumMs }] of statuses) {
        const labels = { operation, status };
        let total = 0;
        counts.forEach((count, i) => {
          total += count;
          const le = i === BUCKETS_MS.length ? '+Inf' : BUCKETS_MS[i]! / 1_000;
          values.push({ metricName: `${NAME}_bucket`, labels: { le, ...labels }, value: total });
        });
        values.push({ metricName: `${NAME}_sum`, labels, value: sumMs / 1_000 });
        values.push({ metricName: `${NAME}_count`, labels, value: total });
      }
    }
    return values;
  }
}

export interface EdgeMetric {
  readonly name: string;
  readonly help: string;
  readonly type: 'histogram';
  readonly aggregator: 'sum';
  reset(): void;
  get(): Promise<Omit<EdgeMetric, 'get'> & { values: MetricValue[] }>;
}

interface MetricValue {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

interface Series {
  readonly counts: Float64Array;
  sumMs: number;
}

const NAME = 'diptych_http_request_duration_seconds';
const BUCKETS_MS: readonly number[] = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

function bucketOf(durationMs: number): number {
  let bucket = 0;
  while (bucket < BUCKETS_MS.length && durationMs > BUCKETS_MS[bucket]!) bucket++;
  return bucket;
}
