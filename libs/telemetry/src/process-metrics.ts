import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay, performance, PerformanceObserver } from 'node:perf_hooks';
import { Gauge, Histogram, type Registry } from 'prom-client';
import { readMetrics } from './read-metrics.js';

/**
 * The state of this process, under the names prom-client's own defaults have, so that ready-made dashboards fit. Not
 * those defaults themselves: they start an event-loop monitor and an observer that nothing can stop.
 *
 * Disposing stops the monitor and the observer.
 */
export function processMetrics(registry: Registry): Disposable {
  cpuAndMemory(registry);
  return threadMetrics(registry);
}

/** Of one thread: heap, event loop and garbage collections. Added up over threads, except for what is said of the busiest. */
export function threadMetrics(registry: Registry): Disposable {
  const registers = [registry];
  heap(registry);
  const loop = eventLoop(registers);
  const collections = garbageCollections(registers);
  return {
    [Symbol.dispose]() {
      loop[Symbol.dispose]();
      collections[Symbol.dispose]();
    },
  };
}

function cpuAndMemory(registry: Registry): void {
  const { counter, gauge } = readMetrics(registry);
  counter('process_cpu_user_seconds_total', 'User CPU time.', () => process.cpuUsage().user / 1e6);
  counter('process_cpu_system_seconds_total', 'System CPU time.', () => process.cpuUsage().system / 1e6);
  gauge('process_start_time_seconds', 'Start of the process, in Unix time.', () => Math.round(Date.now() / 1000 - process.uptime()));
  gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss());
  gauge('nodejs_active_resources', 'Timers, sockets, requests and handles that hold the process open.', () => {
    return process.getActiveResourcesInfo().length;
  });
  if (process.platform === 'linux') gauge('process_open_fds', 'Open file descriptors.', () => readdirSync('/proc/self/fd').length - 1);
}

function heap(registry: Registry): void {
  const { gauge } = readMetrics(registry);
  gauge('nodejs_heap_size_used_bytes', 'Heap in use.', () => process.memoryUsage().heapUsed);
  gauge('nodejs_heap_size_total_bytes', 'Heap reserved.', () => process.memoryUsage().heapTotal);
  gauge('nodejs_external_memory_bytes', 'Memory outside the heap that the heap holds on to.', () => process.memoryUsage().external);
}

/** Samples the delay of the event loop every 10 ms, and its utilization from one scrape to the next. */
function eventLoop(registers: Registry[]): Disposable {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const statistics = { mean: () => delay.mean, p50: () => delay.percentile(50), p99: () => delay.percentile(99), max: () => delay.max };
  const gauges = Object.entries(statistics).map(([name, read]) => {
    const gauge = new Gauge({
      name: `nodejs_eventloop_lag_${name}_seconds`,
      help: `Event loop delay, ${name}, since the last scrape; the 10 ms between two samples are in it.`,
      aggregator: 'max',
      registers: [],
    });
    return { gauge, read };
  });
  let before = performance.eventLoopUtilization();
  const utilization = new Gauge({
    name: 'nodejs_eventloop_utilization',
    help: 'Share of the time since the last scrape that the event loop was busy, 0 to 1.',
    aggregator: 'max',
    registers,
    collect() {
      const now = performance.eventLoopUtilization();
      this.set(performance.eventLoopUtilization(now, before).utilization);
      before = now;
      for (const { gauge, read } of gauges) gauge.set(delay.count === 0 ? 0 : read() / 1e9);
      delay.reset();
    },
  });
  void utilization;
  // After `utilization`, whose collecting sets them: a registry reads its metrics in the order they were registered.
  for (const { gauge } of gauges) for (const registry of registers) registry.registerMetric(gauge);
  return { [Symbol.dispose]: () => void delay.disable() };
}

function garbageCollections(registers: Registry[]): Disposable {
  const duration = new Histogram({
    name: 'nodejs_gc_duration_seconds',
    help: 'Garbage collections, by kind.',
    labelNames: ['kind'],
    buckets: [0.001, 0.01, 0.1, 1, 2, 5],
    registers,
  });
  const kinds = new Map([
    [1, 'minor'],
    [4, 'major'],
    [8, 'incremental'],
    [16, 'weakcb'],
  ]);
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind } = (entry as unknown as { detail: { kind: number } }).detail;
      duration.observe({ kind: kinds.get(kind) ?? 'other' }, entry.duration / 1000);
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  return { [Symbol.dispose]: () => observer.disconnect() };
}
