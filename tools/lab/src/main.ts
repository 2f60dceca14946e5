import { parseArgs } from 'node:util';
import { compare } from './compare.js';
import { selfcheck } from './selfcheck/selfcheck.js';
import { renderAgain } from './report/write-report.js';

const USAGE = `Usage: lab <command> [options]

  compare            both panels under load and under a crash, in about four minutes
  selfcheck          whether the lab itself can be believed, in about six minutes
  report <file>      writes the page anew from a results.json

Options of compare and selfcheck:
  --seed <number>    repeats the arrivals, keys and orders of an earlier run
  --out <directory>  where results of compare go (default: results/compare/<time>)

Exit code: 0 what was expected holds; 1 it does not (an acknowledged write lost, the table of dependencies wrong); 2 cannot say.
`;

async function main(args: string[]): Promise<number> {
  const [command, ...rest] = args;
  if (command === 'compare') {
    const { values } = parseArgs({ args: rest, options: { seed: { type: 'string' }, out: { type: 'string' } } });
    return compare({ seed: seedOf(values.seed), outDir: values.out });
  }
  if (command === 'selfcheck') {
    const { values } = parseArgs({ args: rest, options: { seed: { type: 'string' } } });
    return selfcheck(seedOf(values.seed) ?? 1);
  }
  if (command === 'report' && rest.length === 1) return renderAgain(rest[0]!);
  process.stderr.write(USAGE);
  return command === undefined || command === '--help' || command === '-h' ? 0 : 2;
}

function seedOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw new TypeError(`--seed wants a whole number below 1,000,000,000, got ${text}`);
  return Number(text);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`lab: ${error instanceof Error ? error.message : String(error)}\n`);
  if (process.env['DIPTYCH_DEBUG'] === '1' && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exitCode = 2;
}
