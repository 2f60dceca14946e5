import { parseArgs } from 'node:util';
import { hasCode } from '@diptych/kernel';
import { pollUrls } from './index.js';

const USAGE = `npm run poll -- <url> … [--interval-ms 1000] [--timeout-ms 500] [--pollers 4] [--method GET|HEAD] [--json]

Prints each change of state, one a line, until Ctrl-C.`;

/** Exit codes: 0 stopped by a signal or by the reader of its output, 1 failure, 2 bad arguments. */
async function main(): Promise<number> {
  const options = {
    'interval-ms': { type: 'string' },
    'timeout-ms': { type: 'string' },
    pollers: { type: 'string' },
    method: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  if (values.help) {
    console.info(USAGE);
    return 0;
  }
  if (values.method !== undefined && values.method !== 'GET' && values.method !== 'HEAD')
    throw new TypeError(`--method must be GET or HEAD, is ${values.method}`);
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  // The reader is gone, as in `npm run poll -- … | head -1`.
  process.stdout.once('error', stop);
  const changes = pollUrls({
    urls: positionals,
    intervalMs: numberOf(values['interval-ms']),
    timeoutMs: numberOf(values['timeout-ms']),
    pollers: numberOf(values.pollers),
    method: values.method,
    signal: stopping.signal,
  });
  for await (const change of changes) {
    const { url, from, to, status, reason, atMs } = change;
    const why = reason ?? `answered ${status}`;
    process.stdout.write(
      values.json ? `${JSON.stringify(change)}\n` : `${new Date(atMs).toISOString()}  ${url}  ${from} → ${to}  (${why})\n`,
    );
  }
  return 0;
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text || NaN);
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    // parseArgs complains with a TypeError, the poller with INVALID_REQUEST.
    const badArguments = error instanceof TypeError || hasCode(error, 'INVALID_REQUEST');
    console.error(`poll: ${error instanceof Error ? error.message : String(error)}${badArguments ? '; see --help' : ''}`);
    if (process.env['DIPTYCH_DEBUG'] === '1') console.error(error);
    process.exitCode = badArguments ? 2 : 1;
  },
);
