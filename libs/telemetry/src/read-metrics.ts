import { AggregatorRegistry, Counter, Gauge, type Registry } from 'prom-client';

/** `over`: what becomes of it where several threads have it: the sum, or, where all of them see the same, one. */
type Register = (name: string, help: string, read: () => number, over?: 'sum' | 'max') => void;

/** Metrics that are read when somebody asks for them: counting costs what is counted nothing more. */
export function readMetrics(registry: Registry): { readonly counter: Register; readonly gauge: Register } {
  const registers = [registry];
  return {
    counter(name, help, read, over = 'sum') {
      new Counter({
        name,
        help,
        registers,
        aggregator: over,
        collect() {
          this.reset();
          this.inc(read());
        },
      });
    },
    gauge(name, help, read, over = 'sum') {
      new Gauge({
        name,
        help,
        registers,
        aggregator: over,
        collect() {
          this.set(read());
        },
      });
    },
  };
}

/** The metrics of several threads as those of one process, in the text format. @param threads what `getMetricsAsJSON` of each gave */
export function aggregatedMetrics(threads: readonly (readonly object[])[]): Promise<string> {
  return AggregatorRegistry.aggregate(threads as object[]).metrics();
}
