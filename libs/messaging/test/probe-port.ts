import type { CallContext, ErrorCode } from '@diptych/kernel';
import { DiptychError, isErrorCode } from '@diptych/kernel';
import { Type } from 'typebox';
import type { Subscription } from '../src/port.js';
import { definePort } from '../src/port.js';
import { Bytes } from '../src/schema.js';

/** A port made to try bindings with: each method does one thing that a binding has to carry. */
export interface ProbePort {
  echo(request: Echo, context: CallContext): Promise<Echo>;
  /** Throws the named error, or an ordinary one for any other name. */
  fail(request: { readonly code: string; readonly definite?: boolean | undefined }, context: CallContext): Promise<Record<string, never>>;
  /** Settles when told to by `release`, whatever its deadline. */
  hold(request: { readonly id: string }, context: CallContext): Promise<{ readonly id: string }>;
  /** Answers with so many bytes. */
  produce(request: { readonly bytes: number }, context: CallContext): Promise<{ readonly bytes: Uint8Array }>;
  /** Described, and missing in the implementation. */
  missing(request: Record<string, never>, context: CallContext): Promise<Record<string, never>>;
  /** Answers what its schema does not allow. */
  garble(request: Record<string, never>, context: CallContext): Promise<Record<string, never>>;
  ticks(listener: (event: Tick) => void): Promise<Subscription>;
}

export interface Echo {
  readonly text: string;
  readonly bytes?: Uint8Array | undefined;
  readonly number?: number | undefined;
  readonly list?: readonly string[] | undefined;
}

export interface Tick {
  readonly tick: number;
  readonly bytes?: Uint8Array | undefined;
}

const ECHO = Type.Object({
  text: Type.String({ maxLength: 100_000 }),
  bytes: Type.Optional(Bytes()),
  number: Type.Optional(Type.Number()),
  list: Type.Optional(Type.Array(Type.String())),
});
const EMPTY = Type.Object({});

export const probePort = definePort<ProbePort>({
  name: 'probe',
  version: 1,
  methods: {
    echo: { kind: 'unary', request: ECHO, reply: ECHO, safeToRepeat: true },
    fail: {
      kind: 'unary',
      request: Type.Object({ code: Type.String(), definite: Type.Optional(Type.Boolean()) }),
      reply: EMPTY,
      safeToRepeat: true,
    },
    hold: { kind: 'unary', request: Type.Object({ id: Type.String() }), reply: Type.Object({ id: Type.String() }), safeToRepeat: false },
    produce: {
      kind: 'unary',
      request: Type.Object({ bytes: Type.Integer({ minimum: 0 }) }),
      reply: Type.Object({ bytes: Bytes() }),
      safeToRepeat: true,
    },
    missing: { kind: 'unary', request: EMPTY, reply: EMPTY, safeToRepeat: true },
    garble: { kind: 'unary', request: EMPTY, reply: Type.Object({ never: Type.Literal('there') }), safeToRepeat: true },
    ticks: { kind: 'topic', event: Type.Object({ tick: Type.Integer(), bytes: Type.Optional(Bytes()) }) },
  },
});

/** The implementation, with what a test wants to see and steer of it. */
export class Probe implements Omit<ProbePort, 'missing'> {
  /** Requests of `echo`, by reference. */
  readonly seen: Echo[] = [];
  /** Contexts of `hold`, by id. */
  readonly held = new Map<string, CallContext>();
  readonly #releases = new Map<string, () => void>();
  readonly #listeners = new Set<(event: Tick) => void>();

  async echo(request: Echo): Promise<Echo> {
    this.seen.push(request);
    return request;
  }

  async fail({ code, definite }: { code: string; definite?: boolean | undefined }): Promise<Record<string, never>> {
    if (!isErrorCode(code)) throw new TypeError(`a secret about ${code}`);
    throw new DiptychError(code, messageOfProbe(code), {
      cause: new Error('a secret'),
      retryAfterMs: 7,
      ...(definite === undefined ? {} : { definite }),
    });
  }

  async hold({ id }: { id: string }, context: CallContext): Promise<{ id: string }> {
    this.held.set(id, context);
    await new Promise<void>((resolve) => this.#releases.set(id, resolve));
    return { id };
  }

  async produce({ bytes }: { bytes: number }): Promise<{ bytes: Uint8Array }> {
    return { bytes: new Uint8Array(bytes) };
  }

  async garble(): Promise<Record<string, never>> {
    return {};
  }

  async ticks(listener: (event: Tick) => void): Promise<Subscription> {
    this.#listeners.add(listener);
    return { delivery: 'synchronous', [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  release(id: string): void {
    this.#releases.get(id)?.();
  }

  tick(event: Tick): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** As a port. What it lacks, the descriptor still promises. */
  get port(): ProbePort {
    return this as unknown as ProbePort;
  }
}

export function messageOfProbe(code: ErrorCode): string {
  return `the probe fails with ${code}, as told`;
}
