import { decode, encode } from '../../codec.js';

/**
 * What an instance handles, where one port is many services, as Nest patterns are: each instance has patterns of its own, and some of them the queue
 * groups of others. It travels as `D9`, version, u8 length and ASCII of the instance, and MessagePack of a list of `[subject, queue group or nil]`.
 */
export type Handled = readonly [subject: string, queue: string | null];

export interface Catalog {
  readonly instance: string;
  readonly handled: readonly Handled[];
}

export const CATALOG = 0xd9;
const VERSION = 1;
const HEADER_BYTES = 3;

export function encodeCatalog({ instance, handled }: Catalog): Uint8Array {
  const frame = encode(handled, HEADER_BYTES + instance.length).bytes;
  frame[0] = CATALOG;
  frame[1] = VERSION;
  frame[2] = instance.length;
  frame.write(instance, HEADER_BYTES, 'latin1');
  return frame;
}

/** @throws RangeError when the bytes are no catalog */
export function parseCatalog(frame: Uint8Array): Catalog {
  if (frame.byteLength < HEADER_BYTES || frame[0] !== CATALOG) throw new RangeError('it is no catalog');
  if (frame[1] !== VERSION) throw new RangeError(`its catalog is of version ${frame[1]}; this side reads version ${VERSION}`);
  const start = HEADER_BYTES + frame[2]!;
  if (start > frame.byteLength) throw new RangeError('its catalog ends too soon');
  let handled: unknown;
  try {
    handled = decode(frame, start);
  } catch (error) {
    throw new RangeError('its catalog cannot be decoded', { cause: error });
  }
  if (!Array.isArray(handled) || !handled.every(isHandled)) throw new RangeError('its catalog makes no sense');
  return { instance: String.fromCharCode(...frame.subarray(HEADER_BYTES, start)), handled };
}

function isHandled(entry: unknown): entry is Handled {
  return Array.isArray(entry) && typeof entry[0] === 'string' && (entry[1] === null || typeof entry[1] === 'string');
}

/**
 * Which of the instances may be called for a subject straight, in place of what the broker would do: give it to one of them, since all are of one queue
 * group and each handles it once. Nobody if the broker would do anything else, such as to give it to two groups, or to somebody who listens to all.
 */
export function takersOf<T extends { readonly handles: readonly Handled[] | undefined }>(instances: readonly T[], subject: string): T[] {
  const takers: T[] = [];
  let group: string | undefined;
  for (const instance of instances) {
    const queues = (instance.handles ?? []).filter(([pattern]) => takes(pattern, subject)).map(([, queue]) => queue);
    if (queues.length === 0) continue;
    const [queue] = queues;
    if (queues.length > 1 || queue === null || (group !== undefined && queue !== group)) return [];
    group = queue;
    takers.push(instance);
  }
  return takers;
}

/** Whether what is published to `subject` reaches a subscription to `pattern`: `*` is any one token, `>` one or more at the end. */
export function takes(pattern: string, subject: string): boolean {
  if (pattern === subject) return true;
  if (!pattern.includes('*') && !pattern.includes('>')) return false;
  const wanted = pattern.split('.');
  const tokens = subject.split('.');
  if (wanted.at(-1) === '>') {
    wanted.pop();
    if (tokens.length <= wanted.length) return false;
  } else if (tokens.length !== wanted.length) return false;
  return wanted.every((token, i) => token === '*' || token === tokens[i]);
}
