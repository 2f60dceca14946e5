import { MessageChannel } from 'node:worker_threads';
import { startNatsServer } from '@diptych/testing';
import type { NatsServer } from '@diptych/testing';
import { afterAll, afterEach, describe } from 'vitest';
import { inProcess } from '../bindings/in-process.js';
import { loopback } from '../bindings/loopback.js';
import { connectNats } from '../nats/connect-nats.js';
import { linkThreads } from '../threads/thread-link.js';
import type { Bounds, PortDescriptor } from '../port.js';

export type BindingName = 'in-process' | 'loopback' | 'threads' | 'nats';

/** Makes a fresh implementation and binds it. What was opened is disposed of after each test. */
export type Open<Port> = () => Promise<Port>;

export interface BindingSuite<Port> {
  readonly descriptor: PortDescriptor<Port>;
  /** Called by every `open`. `dispose` is awaited after the test, the binding being closed by then. */
  create(): Promise<{ implementation: Port; dispose?: () => void | Promise<void> }>;
  /** Default: in-process and loopback. `nats` needs a real nats-server, so it belongs in an `.int-spec.ts` file. */
  readonly bindings?: readonly BindingName[];
  readonly bounds?: Partial<Bounds>;
}

/**
 * One suite, any binding: registers the same cases once for each. What holds over one binding and not over another is then a
 * failing test, or a case that says so by looking at `binding`.
 */
export function describeOverBindings<Port>(
  name: string,
  options: BindingSuite<Port>,
  suite: (open: Open<Port>, binding: BindingName) => void,
): void {
  for (const binding of options.bindings ?? ['in-process', 'loopback']) {
    describe(`${name} over ${binding}`, () => {
      const closers: Array<() => void | Promise<void>> = [];
      const bind = binders[binding](options.descriptor, options.bounds ?? {});

      afterEach(async () => {
        for (let close = closers.pop(); close; close = closers.pop()) await close();
      });

      suite(async () => {
        const { implementation, dispose } = await options.create();
        if (dispose) closers.push(dispose);
        const { port, close } = await bind(implementation);
        if (close) closers.push(close);
        return port as Port;
      }, binding);
    });
  }
}

type Binder = (implementation: unknown) => Promise<{ port: unknown; close?: () => Promise<void> }>;

const binders: Record<BindingName, (descriptor: PortDescriptor<unknown>, bounds: Partial<Bounds>) => Binder> = {
  'in-process': (descriptor, bounds) => async (implementation) => ({ port: inProcess(descriptor, implementation, bounds, ignore) }),
  loopback: (descriptor, bounds) => async (implementation) => ({ port: loopback(descriptor, implementation, bounds, ignore) }),
  // Both ends are in this thread, which the two links cannot tell.
  threads: (descriptor, bounds) => async (implementation) => {
    const { port1, port2 } = new MessageChannel();
    const server = linkThreads(port1, { bounds, onFault: ignore });
    const caller = linkThreads(port2, { bounds, onFault: ignore });
    server.serve(descriptor, implementation);
    const close = async () => {
      await Promise.allSettled([caller.close(0), server.close(0)]);
    };
    return { port: caller.client(descriptor), close };
  },
  nats: overNats,
};

/** Caller and server each have a connection of their own, as in two processes. Two that are open at once have each their own broker. */
function overNats(descriptor: PortDescriptor<unknown>, bounds: Partial<Bounds>): Binder {
  const idle: NatsServer[] = [];
  const all: NatsServer[] = [];
  afterAll(async () => {
    await Promise.all(all.map((broker) => broker.stop()));
  });
  return async (implementation) => {
    let broker = idle.pop();
    if (!broker) all.push((broker = await startNatsServer()));
    const { url: servers } = broker;
    const server = await connectNats({ servers, name: 'server', bounds, onFault: ignore });
    const caller = await connectNats({ servers, name: 'caller', bounds, onFault: ignore });
    await server.serve(descriptor, implementation);
    const close = async () => {
      await caller.close(1_000);
      await server.close(1_000);
      idle.push(broker);
    };
    return { port: caller.client(descriptor), close };
  };
}

/** A contract suite causes faults on purpose, and looks at what the caller gets. */
const ignore = () => undefined;
