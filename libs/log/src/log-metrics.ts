import { readMetrics } from '@diptych/telemetry';
import type { Registry } from 'prom-client';
import { Counter, Gauge, Histogram } from 'prom-client';
import type { KeptReportsCounts } from './kept-reports.js';
import type { BatchMeasure, FileLogStatus } from './engine/file-log-options.js';

/** Measures group commits: give it to the log as its `onBatch`. */
export function batchMetrics(registry: Registry): (batch: BatchMeasure) => void {
  const registers = [registry];
  const appends = new Counter({ name: 'diptych_log_appends_total', help: 'Mutations made durable.', registers });
  const bytes = new Counter({ name: 'diptych_log_appended_bytes_total', help: 'Bytes written to segments.', registers });
  const sizes = new Histogram({
    name: 'diptych_log_batch_appends',
    help: 'Mutations that shared one write and one sync.',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048],
    registers,
  });
  const seconds = new Histogram({
    name: 'diptych_log_sync_seconds',
    help: 'One write and fdatasync.',
    buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1],
    registers,
  });
  return (batch) => {
    appends.inc(batch.appends);
    bytes.inc(batch.bytes);
    sizes.observe(batch.appends);
    seconds.observe(batch.seconds);
  };
}

/** What keeping reports costs and brings. */
export function reportMetrics(registry: Registry, counts: () => KeptReportsCounts): void {
  const { counter, gauge } = readMetrics(registry);
  counter('diptych_log_report_hits_total', 'Reports answered from what was kept.', () => counts().hits);
  counter('diptych_log_report_misses_total', 'Reports that were computed, or waited for somebody else’s.', () => counts().misses);
  counter('diptych_log_report_drops_total', 'Kept reports that a commit made worthless.', () => counts().dropped);
  gauge('diptych_log_reports_kept', 'Reports held.', () => counts().kept);
  gauge('diptych_log_reports_kept_bytes', 'About what they take in memory.', () => counts().bytes);
}

/** Measures the state of a log, at every scrape. */
export function statusMetrics(registry: Registry, status: () => FileLogStatus): void {
  const registers = [registry];
  const gauge = (name: string, help: string, read: (status: FileLogStatus) => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read(status()));
      },
    });
  gauge('diptych_log_keys', 'Keys present.', ({ keys }) => keys);
  gauge('diptych_log_value_bytes', 'Bytes of the values of the keys present.', ({ valueBytes }) => valueBytes);
  gauge('diptych_log_disk_bytes', 'Bytes of all segments.', ({ diskBytes }) => diskBytes);
  gauge('diptych_log_garbage_bytes', 'About what compaction could free.', ({ compaction }) => compaction.garbageBytes);
  gauge('diptych_log_compactions', 'Runs of segments compacted since the start.', ({ compaction }) => compaction.compactions);
  gauge('diptych_log_reclaimed_bytes', 'Freed by compaction since the start.', ({ compaction }) => compaction.reclaimedBytes);
  gauge('diptych_log_compaction_failures', 'Failed compactions in a row; 0 after a success.', ({ compaction }) => compaction.failures);
  gauge('diptych_log_segments', 'Segment files.', ({ segments }) => segments);
  gauge('diptych_log_write_queue', 'Appends that wait for the writer.', ({ queued }) => queued);
  gauge('diptych_log_head_revision', 'Revision of the newest mutation.', ({ headRevision }) => headRevision);
  gauge('diptych_log_writable', '1 while appends are taken.', ({ writable }) => (writable ? 1 : 0));
}
