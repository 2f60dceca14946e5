import type { CallContext } from '@diptych/kernel';
import type { PortDescriptor } from '@diptych/messaging';

/** A unary method, or one with guards around it. */
export type Call = (request: unknown, context: CallContext) => Promise<unknown>;

interface Method {
  readonly name: string;
  readonly kind: 'unary' | 'topic';
  readonly safeToRepeat: boolean;
  /** Bound to its port. */
  readonly call: Call;
}

/** The methods of a port as functions. */
export function methodsOf<Port extends object>(descriptor: PortDescriptor<Port>, port: Port): Method[] {
  return Object.entries(descriptor.methods as Record<string, { kind: 'unary' | 'topic'; safeToRepeat?: boolean }>).map(
    ([name, { kind, safeToRepeat = false }]) => ({
      name,
      kind,
      safeToRepeat,
      call: (port as Record<string, Call>)[name]!.bind(port),
    }),
  );
}
