import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { seededRandom } from '@diptych/testing';
import { shuffled } from '../../arms.js';
import { median } from '../../figures.js';
import type { Figures } from '../../messaging/bench-run.js';
import { codec, type How } from './crossing-codec.js';
import { keysOf, valueOf } from './load.js';

const REPLIES = 20_000;
const ROUNDS = 6;
/** Frames on their way. */
const IN_FLIGHT = 8;

/**
 * Replies of the log, with a value of 256 bytes that owns its memory, from one thread to another: cloned as they are, or encoded to bytes that are cloned. Alone
 * in their message, and sixteen in one. By the processor time of the process, in turns.
 */
export async function crossing({ seed }: { seed: number }): Promise<Record<string, Figures>> {
  const worker = new Worker(new URL('./crossing-worker.js', import.meta.url));
  const failed = once(worker, 'error').then(([error]) => Promise.reject(error as Error));
  failed.catch(() => undefined);
  const replies = keysOf(1_024).map((key, i) => ({
    entry: { key, value: new Uint8Array(valueOf(i)), contentType: 'application/octet-stream', revision: i },
    asOf: { incarnation: '0123456789abcdef', partition: 0, revision: i },
  }));
  const courses = { clone1: ['clone', 1], codec1: ['codec', 1], clone16: ['clone', 16], codec16: ['codec', 16] } as const;
  const taken: Record<string, number[]> = {};
  const random = seededRandom(seed);
  for (let round = -1; round < ROUNDS; round++)
    for (const [name, [how, each]] of shuffled(Object.entries(courses), random)) {
      const us = await Promise.race([failed, cross(worker, replies, how, each)]);
      // The first of each is for the compiler.
      if (round >= 0) (taken[name] ??= []).push(us);
    }
  worker.postMessage(undefined);
  await once(worker, 'exit');
  return Object.fromEntries(Object.entries(taken).map(([name, all]) => [name, { cpuUsPerReply: median(all) }]));
}

async function cross(worker: Worker, replies: readonly object[], how: How, each: number): Promise<number> {
  const before = process.cpuUsage();
  let [sent, answered] = [0, 0];
  await new Promise<void>((resolve, reject) => {
    const send = () => {
      const frame = Array.from({ length: each }, (_, i) => replies[(sent + i) % replies.length]);
      sent += each;
      worker.postMessage({ how, frame: how === 'clone' ? frame : codec.encode(frame) });
    };
    const take = (bytes: number) => {
      if (bytes !== each * 256) reject(new Error(`${bytes} bytes of ${each} values arrived`));
      answered += each;
      if (sent < REPLIES) send();
      else if (answered === sent) {
        worker.off('message', take);
        resolve();
      }
    };
    worker.on('message', take);
    for (let i = 0; i < IN_FLIGHT; i++) send();
  });
  const { user, system } = process.cpuUsage(before);
  return (user + system) / sent;
}
