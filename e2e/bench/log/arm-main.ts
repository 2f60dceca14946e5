import { bareAppends, engineAppends } from './arms/append-arms.js';
import { compactionAppends } from './arms/compaction-arm.js';
import { fillLog } from './arms/fill.js';
import { bareOpen, engineMemory, engineOpen } from './arms/open-arms.js';
import { bareReads, engineReads } from './arms/read-arms.js';

/*
 * One arm of the benchmark, in a fresh process: `arm-main <arm> <directory> <parameters as JSON>`. Prints its figures as one line of JSON.
 */
const ARMS = {
  'engine-appends': engineAppends,
  'bare-appends': bareAppends,
  'engine-open': engineOpen,
  'bare-open': bareOpen,
  'engine-memory': engineMemory,
  'compaction-appends': compactionAppends,
  'engine-reads': engineReads,
  'bare-reads': bareReads,
  fill: fillLog,
};

export type ArmName = keyof typeof ARMS;

const [arm, directory, parameters] = process.argv.slice(2);
const run = ARMS[arm as ArmName] as (directory: string, parameters: unknown) => Promise<Record<string, number>>;
console.log(JSON.stringify(await run(directory!, JSON.parse(parameters!))));
