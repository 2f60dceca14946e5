import { parentPort } from 'node:worker_threads';
import { codec, type How } from './crossing-codec.js';

type Frame = ReadonlyArray<{ readonly entry: { readonly value: Uint8Array } }>;

/*
 * The other thread of the row `crossing`: answers with how many bytes of values have arrived.
 */
parentPort!.on('message', (message: { readonly how: How; readonly frame: unknown } | undefined) => {
  if (!message) return parentPort!.close();
  const frame = (message.how === 'clone' ? message.frame : codec.decode(message.frame as Uint8Array)) as Frame;
  parentPort!.postMessage(frame.reduce((sum, { entry }) => sum + entry.value.byteLength, 0));
});
