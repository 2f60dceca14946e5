import { afterEach, describe } from 'vitest';
import { inProcess } from '../bindings/in-process.js';
import { loopback } from '../bindings/loopback.js';
import type { Bounds, PortDescriptor } from '../port.js';

export type BindingName = 'in-process' | 'loopback' | 'nats';

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
      const binder = binders[binding](options.descriptor as PortDescriptor<unknown>, options.bounds ?? {});

      afterEach(async () => {
        for (let close = closers.pop(); close; close = closers.pop()) await close();
      });

      suite(async () => {
        const { implementation, dispose } = await options.create();
        if (dispose) closers.push(dispose);
        const { port, close } = await binder(implementation);
        if (close) closers.push(close);
        return port as Port;
      }, binding);
    });
  }
}

type Binder = (implementation: unknown) => Promise<{ port: unknown; close?: () => Promise<void> }>;

const binders: Record<BindingName, (descriptor: PortDescriptor<unknown>, bounds: Partial<Bounds>) => Binder> = {
  'in-process': (descriptor, bounds) => async (implementation) => ({ port: inProcess(descriptor, implementation, bounds) }),
  loopback: (descriptor, bounds) => async (implementation) => ({ port: loopback(descriptor, implementation, bounds) }),
  nats: () => async () => {
    throw new Error('the NATS binding is on its way');
  },
};
