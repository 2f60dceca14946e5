import { crossing } from './arms/crossing.js';
import { hitRatios } from './arms/hit-ratios.js';
import { http } from './arms/http.js';
import { oneThread } from './arms/one-thread.js';
import { spill } from './arms/spill-arm.js';
import { stages } from './arms/stages.js';
import { threads } from './arms/threads.js';

/*
 * One job of the benchmark, in a fresh process: `arm-main <program> <parameters as JSON>`. Prints the figures of its arms as one line of JSON.
 */
const PROGRAMS = { 'one-thread': oneThread, threads, 'hit-ratios': hitRatios, spill, http, crossing, stages };

export type ProgramName = keyof typeof PROGRAMS;

const [program, parameters] = process.argv.slice(2);
const run = PROGRAMS[program as ProgramName] as (parameters: unknown) => object | Promise<object>;
console.log(JSON.stringify(await run(JSON.parse(parameters!))));
