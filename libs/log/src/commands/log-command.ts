import { parseArgs } from 'node:util';
import { hasCode, isDiptychError } from '@diptych/kernel';
import { backupLog } from '../engine/backup.js';
import { dumpLog } from '../engine/dump.js';
import { restoreLog } from '../engine/restore.js';
import type { Verified } from '../engine/verify.js';
import { verifyLog } from '../engine/verify.js';

/** What a person can do with the files of a log. The names begin the arguments of the log's program too. */
export const LOG_COMMANDS = ['verify', 'dump', 'backup', 'restore', 'help'] as const;

const USAGE = `log verify <directory>                 check every byte of a log or a backup; it may be in use
log dump <directory> [--no-values]     print every mutation that it still holds as a line of JSON; it may be in use
log backup <directory> <new>           copy a log, in use or not, into an empty or new directory
log restore <backup> <new>             make a log, with a new incarnation, from a backup in an empty or new directory

Exit codes: 0 done and in order, 1 damage or failure, 2 wrong arguments or nothing there to work on.
`;

export interface CommandStreams {
  readonly out: NodeJS.WritableStream;
  readonly err: NodeJS.WritableStream;
  /** Ends the command; what it was writing is removed. */
  readonly signal: AbortSignal;
}

/** Runs one command and returns its exit code. Never throws. */
export async function runLogCommand(args: readonly string[], streams: CommandStreams): Promise<number> {
  const { out, err, signal } = streams;
  try {
    const parsed = parse(args);
    if (!parsed) {
      await write(out, USAGE, signal);
      return 0;
    }
    await run(parsed, streams);
    return 0;
  } catch (error) {
    if (signal.aborted) {
      err.write('log: stopped; nothing was changed\n');
      return 1;
    }
    if (error instanceof WrongArguments) {
      err.write(`log: ${error.message}\n\n${USAGE}`);
      return 2;
    }
    err.write(`log: ${isDiptychError(error) ? error.message : `${String(error)} (DIPTYCH_DEBUG=1 shows where)`}\n`);
    if (process.env['DIPTYCH_DEBUG'] === '1') err.write(`${(error as Error).stack}\n`);
    return hasCode(error, 'UNAVAILABLE') ? 2 : 1;
  }
}

class WrongArguments extends Error {}

interface Parsed {
  readonly name: 'verify' | 'dump' | 'backup' | 'restore';
  readonly source: string;
  readonly target: string;
  readonly values: boolean;
}

/** Undefined when help is asked for. */
function parse(args: readonly string[]): Parsed | undefined {
  const { values, positionals } = parseOptions(args);
  const [name, source, target, ...more] = positionals;
  if (values.help || name === 'help') return undefined;
  if (name === undefined) throw new WrongArguments('which command?');
  if (name !== 'verify' && name !== 'dump' && name !== 'backup' && name !== 'restore')
    throw new WrongArguments(`there is no command ${JSON.stringify(name)}`);
  const two = name === 'backup' || name === 'restore';
  if (!source || (two && !target) || (!two && target !== undefined) || more.length > 0)
    throw new WrongArguments(`${name} takes ${two ? 'two directories' : 'one directory'}`);
  if (values['no-values'] && name !== 'dump') throw new WrongArguments('--no-values is for dump');
  return { name, source, target: target ?? '', values: !values['no-values'] };
}

function parseOptions(args: readonly string[]) {
  try {
    const options = { 'no-values': { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const;
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new WrongArguments((error as Error).message);
  }
}

async function run({ name, source, target, values }: Parsed, { out, signal }: CommandStreams): Promise<void> {
  if (name === 'dump') return dumpLog(source, { values, signal, write: (lines) => write(out, lines, signal) });
  const verified = await {
    verify: () => verifyLog(source, { signal }),
    backup: () => backupLog(source, target, { signal }),
    restore: () => restoreLog(source, target, { signal }),
  }[name]();
  const done = { verify: `OK: ${source}`, backup: `backed up ${source} into ${target}`, restore: `restored ${source} into ${target}` }[
    name
  ];
  await write(out, `${done}: ${describe(verified)}\n${notes(verified)}`, signal);
}

function describe({ head, records, bytes, segments, incarnation, partition }: Verified): string {
  return `head revision ${head}, ${records} records in ${segments} segments, ${bytes} bytes, incarnation ${incarnation}, partition ${partition}`;
}

function notes({ unfinished, leftovers }: Verified): string {
  const lines: string[] = [];
  if (unfinished)
    lines.push(
      `note: ${unfinished.bytes} bytes at offset ${unfinished.offset} of ${unfinished.path} are of a write that is under way, or that a crash cut short; none of it was acknowledged`,
    );
  for (const path of leftovers) lines.push(`note: ${path} is a leftover of a compaction; the next open removes it`);
  return lines.map((line) => `${line}\n`).join('');
}

/** Waits for room, so that a slow reader does not fill the memory. */
async function write(stream: NodeJS.WritableStream, text: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
    stream.write(text, (error) => {
      signal.removeEventListener('abort', onAbort);
      if (error) reject(error);
      else resolve();
    });
  });
}
