import { Counter, Gauge, type Registry } from 'prom-client';

type Register = (name: string, help: string, read: () => number) => void;

/** Metrics that are read when somebody asks for them: counting costs what is counted nothing more. */
export function readMetrics(registry: Registry): { readonly counter: Register; readonly gauge: Register } {
  const registers = [registry];
  return {
    counter(name, help, read) {
      new Counter({
        name,
        help,
        registers,
        collect() {
          this.reset();
          this.inc(read());
        },
      });
    },
    gauge(name, help, read) {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    },
  };
}
