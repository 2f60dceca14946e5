import { openSync, writeSync } from 'node:fs';
import { within } from '@diptych/kernel';
import { openFileLog } from '../src/engine/file-log.js';

/*
 * A process that writes until it is killed: `killed-writer.ts <directory> <journal> <round>`. Into the journal goes what it sends, before it sends
 * it, and what was acknowledged, once it was.
 */
const [directory, path, round] = process.argv.slice(2) as [string, string, string];
const log = await openFileLog({ directory, segmentBytes: 65_536 });
const journal = openSync(path, 'a');
// To a file, and at once: what is said outlives the process. A pipe's buffer would be lost with it.
const say = (text: string) => writeSync(journal, `${text}\n`);
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
    say(`acknowledged ${key} ${value} ${position.revision} ${requestId}`);
  }
}

await Promise.all(Array.from({ length: 64 }, write));
