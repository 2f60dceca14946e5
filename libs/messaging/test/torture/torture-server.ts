import { parentPort, workerData } from 'node:worker_threads';
import type { ErrorCode } from '@diptych/kernel';
import { deadlines, DiptychError, systemClock } from '@diptych/kernel';
import type { CallContext } from '@diptych/kernel';
import type { Responder } from '../../src/index.js';
import { connectNats } from '../../src/index.js';
import type { ServedCall } from '../../src/nats/served-call.js';
import { ownMessage, streamBytes } from './model.js';
import type { Done, Order, TorturePort } from './torture-port.js';
import { OVERSIZE_BYTES, payloadOf, torturePort, traceOf } from './torture-port.js';

/**
 * A server of the torture: a thread with a link of its own, which notes in shared memory what it runs. It is told by messages to drain and serve
 * anew, and to close; then it ends by itself.
 */
export interface ServerData {
  readonly url: string;
  readonly name: string;
  /** How often each order was begun. */
  readonly begun: Int32Array;
  /** What was wrong with it as it arrived, 0 when nothing. */
  readonly wrong: Int32Array;
}

export const Wrong = { TRACE: 1, DEADLINE: 2, PAYLOAD: 4 } as const;

/** What of a deadline may get lost or added on the way: it is put from one clock onto another by the shortest way ever seen. */
const DEADLINE_ERROR_MS = 3_000;
const HELD_MAX = 200;
/** More than are ever in flight at one server, so that a count which only grows shows as OVERLOADED. */
const IN_FLIGHT_MAX = 700;

const { url, name, begun, wrong } = workerData as ServerData;
const held: Array<() => void> = [];

const implementation = {
  // Not an async function: what it throws and gives back reaches the transport as it is.
  run(order: Order, context: CallContext, call: ServedCall): unknown {
    const { i, does, delayMs } = order;
    Atomics.add(begun, i, 1);
    look(order, context);
    if (does === 'throw' && delayMs === 0) throw new TypeError('thrown at once');
    if (does === 'plain') return doneOf(order);
    if (does === 'never') return hold(order);
    return work(order, call);
  },
};

function look({ i, endsMs, payload }: Order, context: CallContext): void {
  if (context.traceparent !== traceOf(i)) Atomics.or(wrong, i, Wrong.TRACE);
  if (Math.abs(performance.timeOrigin + context.deadlineMs - endsMs) > DEADLINE_ERROR_MS) Atomics.or(wrong, i, Wrong.DEADLINE);
  if (!Buffer.from(payload).equals(payloadOf(i, payload.byteLength))) Atomics.or(wrong, i, Wrong.PAYLOAD);
}

function doneOf({ i, payload }: Order): Done {
  return { i, server: name, payload };
}

async function work(order: Order, call: ServedCall): Promise<Done> {
  const { i, does, delayMs } = order;
  if (delayMs > 0) await new Promise<void>((resolve) => systemClock.after(delayMs, resolve));
  if (does === 'fail') throw new DiptychError(order.code as ErrorCode, ownMessage(i), { definite: true });
  if (does === 'throw') throw new TypeError('thrown later');
  if (does === 'oversize') return { i, server: name, payload: new Uint8Array(OVERSIZE_BYTES) };
  if (does === 'garble') return { i: 'nonsense' } as unknown as Done;
  if (does === 'stream') {
    for (let value = 0; value < (order.values ?? 0); value++) {
      call.exchange.next({ i, server: name, value, payload: payloadOf(i + value, streamBytes(order.payload.byteLength, value)) });
      if (value % 3 === 2) await new Promise<void>((resolve) => setImmediate(resolve));
    }
  }
  return doneOf(order);
}

/** Long after its caller has gone. */
function hold(order: Order): Promise<Done> {
  if (held.length >= HELD_MAX) held.shift()!();
  return new Promise((resolve) => held.push(() => resolve(doneOf(order))));
}

const faults = new Set<string>();
const link = await connectNats({
  servers: url,
  name,
  pingIntervalMs: 5_000,
  bounds: { inFlightMax: IN_FLIGHT_MAX },
  onFault: (fault) => faults.add(fault.message.replace(/handler of \d+/, 'handler of …')),
});
const responders: Responder[] = [];
const serve = async () => responders.push(await link.serve(torturePort, implementation as unknown as TorturePort));
await serve();
const port = parentPort!;
port.on('message', (message: 'cycle' | 'release' | 'close') => void obey(message));
port.postMessage('serving');

async function obey(message: 'cycle' | 'release' | 'close'): Promise<void> {
  if (message === 'cycle') {
    await responders.at(-1)!.drain(10_000);
    await serve();
    port.postMessage('cycled');
    return;
  }
  for (const release of held.splice(0)) release();
  await new Promise<void>((resolve) => setImmediate(resolve));
  const left = { inFlight: responders.reduce((sum, { inFlight }) => sum + inFlight, 0), deadlines: deadlines.size };
  if (message === 'close') {
    await link.close(5_000);
    port.close();
  } else port.postMessage({ left, faults: [...faults], status: link.status });
}
