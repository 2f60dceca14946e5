import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { compare } from './compare.js';
import { linearizability } from './linearizability/linearizability.js';
import { publish } from './report/publish.js';
import { renderAgain } from './report/write-report.js';
import { EXPERIMENTS } from './scaling/experiments.js';
import { selfcheck } from './selfcheck/selfcheck.js';
import { staleness, WAY_IDS } from './staleness/staleness.js';

const USAGE = `Usage: npm run compare -- [options]
       npm run lab -- <command> [options]

  compare               both panels under load and under a crash, in less than five minutes
  selfcheck             whether the lab itself can be believed, and how fine this machine sees, in about twelve minutes
  staleness             how old reads can be with a cache paused, cut off and given back, in about a minute and a half
  linearizability       whether each key is, in the arms that promise it, under crashes
  run scale-out         what one to four instances of a quarter of a core can do, in about nineteen minutes
  run elasticity        instances follow a ramp, a spike and an ebb by their live signals, in about sixteen minutes
  run coming-and-going  what is lost when instances come, go and are killed, in about five minutes (all three: Linux, root and haproxy)
  report <results.json>   writes the page of an earlier run anew
  publish <results.json>  puts an earlier run into the documents: table, picture, data

Options of compare, selfcheck, staleness and run:
  --seed <number>       repeats the arrivals, keys and orders of an earlier run
  --out <directory>     where the results go (default: results/<command>/<time>)
  --blocks <number>     of compare: how many paired blocks, 6 (default, indicative) to 60; 12 carry a verdict; of run: 1 (default) to 60
  --runtime <name>      of compare: process (default), or docker: containers with limits of CPU and memory, the same in sum for both;
                        of run scale-out and run elasticity too: each instance a container of a quarter of a core
  --way <name>          of staleness: edges, any or key alone; --scale <percent> makes its phases longer or shorter;
                        --cache-stale-ms <number> lets caches be older than what they are held against, which must be found out
  --operations <number> of linearizability: how many in each arm (default 20000); --crashes <number>, --arm <name>
  --help

Exit code: 0  nothing forbidden was seen (who is better, and what was not as expected, is in the output)
           1  an acknowledged write lost, a value that nobody wrote, the table of dependencies wrong, a check failed
           2  cannot say: interrupted, too many void blocks, a fault that was not injected, or the command could not run as it was given
`;

const OPTIONS = { seed: { type: 'string' }, out: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const;

async function main(args: string[]): Promise<number> {
  const [command, ...rest] = args;
  if (command === undefined) return usage(2);
  if (command === 'help' || command === '--help' || command === '-h') return usage(0);
  if (command === 'compare') {
    const { values } = parsed(rest, { ...OPTIONS, blocks: { type: 'string' }, runtime: { type: 'string' } });
    if (values.help) return usage(0);
    return compare({
      seed: wholeNumber('seed', values.seed, 0, 999_999_999),
      outDir: values.out,
      blocks: wholeNumber('blocks', values.blocks, 6, 60),
      runtime: oneOf('runtime', values.runtime, ['process', 'docker']),
    });
  }
  if (command === 'selfcheck') {
    const { values } = parsed(rest, OPTIONS);
    if (values.help) return usage(0);
    return selfcheck({ seed: wholeNumber('seed', values.seed, 0, 999_999_999) ?? 1, outDir: values.out });
  }
  if (command === 'staleness') {
    const more = { way: { type: 'string' }, scale: { type: 'string' }, 'cache-stale-ms': { type: 'string' } } as const;
    const { values } = parsed(rest, { ...OPTIONS, ...more });
    if (values.help) return usage(0);
    return staleness({
      seed: wholeNumber('seed', values.seed, 0, 999_999_999),
      outDir: values.out,
      way: oneOf('way', values.way, WAY_IDS),
      scalePercent: wholeNumber('scale', values.scale, 10, 1_000),
      cacheStaleMs: wholeNumber('cache-stale-ms', values['cache-stale-ms'], 200, 3_600_000),
    });
  }
  if (command === 'linearizability') {
    const more = { operations: { type: 'string' }, crashes: { type: 'string' }, arm: { type: 'string' } } as const;
    const { values } = parsed(rest, { ...OPTIONS, ...more });
    if (values.help) return usage(0);
    return linearizability({
      seed: wholeNumber('seed', values.seed, 0, 999_999_999),
      outDir: values.out,
      operations: wholeNumber('operations', values.operations, 100, 100_000_000),
      crashes: wholeNumber('crashes', values.crashes, 0, 10_000),
      arm: values.arm,
    });
  }
  if (command === 'run') {
    const { values, positionals } = parsed(rest, { ...OPTIONS, blocks: { type: 'string' }, runtime: { type: 'string' } }, true);
    if (values.help) return usage(0);
    const [name = ''] = positionals;
    const experiment = EXPERIMENTS[name];
    if (!experiment || positionals.length !== 1) throw new TypeError(`run wants one of ${Object.keys(EXPERIMENTS).join(', ')}`);
    return experiment({
      name,
      seed: wholeNumber('seed', values.seed, 0, 999_999_999),
      outDir: values.out,
      blocks: wholeNumber('blocks', values.blocks, 1, 60),
      runtime: oneOf('runtime', values.runtime, ['process', 'docker']),
    });
  }
  if (command === 'report' || command === 'publish') {
    const { values, positionals } = parsed(rest, { help: OPTIONS.help }, true);
    if (values.help) return usage(0);
    if (positionals.length !== 1) throw new TypeError(`${command} wants one results.json, got ${positionals.length}`);
    return command === 'report' ? renderAgain(positionals[0]!) : publish(positionals[0]!);
  }
  throw new TypeError(
    `there is no command ${command}; there are compare, selfcheck, staleness, linearizability, run, report and publish (see --help)`,
  );
}

/** Help that was asked for is output; help instead of what was asked for is a complaint. */
function usage(exitCode: 0 | 2): number {
  (exitCode === 0 ? process.stdout : process.stderr).write(USAGE);
  return exitCode;
}

function parsed<Options extends ParseArgsOptionsConfig>(args: string[], options: Options, allowPositionals = false) {
  try {
    return parseArgs({ args, options, allowPositionals });
  } catch (error) {
    throw new TypeError(`${error instanceof Error ? error.message : String(error)} (see --help)`, { cause: error });
  }
}

function oneOf<T extends string>(name: string, text: string | undefined, allowed: readonly T[]): T | undefined {
  if (text === undefined || allowed.includes(text as T)) return text as T | undefined;
  throw new TypeError(`--${name} wants one of ${allowed.join(', ')}, got ${JSON.stringify(text)}`);
}

function wholeNumber(name: string, text: string | undefined, least: number, most: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most)
    throw new TypeError(`--${name} wants a whole number from ${least} to ${most}, got ${JSON.stringify(text)}`);
  return value;
}

// Whoever reads along may stop (`| head`); what was begun goes on, and its results are in files.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`lab: ${error instanceof Error ? error.message : String(error)}\n`);
  if (process.env['DIPTYCH_DEBUG'] === '1' && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exitCode = 2;
}
