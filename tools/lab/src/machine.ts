import { availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import type { Meta } from './results.js';

export function describeMachine(): Meta['machine'] {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    platform: platform(),
  };
}
