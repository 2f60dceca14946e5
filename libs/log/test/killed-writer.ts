import { within } from '@diptych/kernel';
import { openFileLog } from '../src/engine/file-log.js';

/*
 * A process that writes until it is killed: `killed-writer.ts <directory> <round>`. It says on stdout what it sends before it sends it, and what
 * was acknowledged once it was.
 */
const [directory, round] = process.argv.slice(2) as [string, string];
const log = await openFileLog({ directory, segmentBytes: 65_536 });
// Node writes to a pipe at once, so what is said is said, whatever happens to the process next.
const say = (text: string) => process.stdout.write(`${text}\n`);
say('ready');
let next = 0;

async function write(): Promise<never> {
  for (;;) {
    const i = next++;
    const key = `k${i % 500}`;
    const value = `${round}/${i}/${'x'.repeat((i * 37) % 300)}`;
    const requestId = `${round}-${i}`;
    say(`sent ${key} ${value}`);
    const { position } = await log.append(
      { mutation: { kind: 'put', key, value: Buffer.from(value), contentType: 'text/plain' }, requestId },
      within(60_000),
    );
    say(`acknowledged ${key} ${value} ${position.revision} ${requestId} .`);
  }
}

await Promise.all(Array.from({ length: 64 }, write));
