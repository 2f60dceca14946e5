import type { CallContext } from '@diptych/kernel';
import { definePort } from '@diptych/messaging';
import type { HealthReport } from '@diptych/telemetry';
import { Type } from 'typebox';

/** What the main thread asks of the others. Each is asked once, in this order, except for `ready` and `metrics`. */
export interface WorkerPort {
  /** Opens its listener. A port of 0 takes a free one, which the others are then told. Answers 503 from then on. */
  listen(request: { readonly host: string; readonly port: number }, context: CallContext): Promise<{ readonly url: string }>;
  /** Starts its parts and lets requests in. `shared`: what the main thread's parts gave for it, by name. */
  open(request: { readonly shared: Readonly<Record<string, unknown>> }, context: CallContext): Promise<Record<string, never>>;
  ready(request: Record<string, never>, context: CallContext): Promise<HealthReport>;
  /** As prom-client's registry gives them. */
  metrics(request: Record<string, never>, context: CallContext): Promise<{ readonly metrics: readonly object[] }>;
  /** Answers what it has accepted and ends its parts. `problems`: what did not end in time, a sentence each. */
  stop(request: Record<string, never>, context: CallContext): Promise<{ readonly problems: readonly string[] }>;
}

/** What the others ask of the main thread: how the process as a whole is. */
export interface MainPort {
  ready(request: Record<string, never>, context: CallContext): Promise<HealthReport>;
  metrics(request: Record<string, never>, context: CallContext): Promise<{ readonly contentType: string; readonly text: string }>;
}

const Nothing = Type.Object({});
const Report = Type.Unsafe<HealthReport>(Type.Object({ ok: Type.Boolean(), reasons: Type.Array(Type.String()) }));
const once = { kind: 'unary', safeToRepeat: false } as const;
const question = { kind: 'unary', safeToRepeat: true, request: Nothing } as const;

export const workerPort = definePort<WorkerPort>({
  name: 'worker',
  version: 1,
  methods: {
    listen: { ...once, request: Type.Object({ host: Type.String(), port: Type.Integer() }), reply: Type.Object({ url: Type.String() }) },
    open: { ...once, request: Type.Object({ shared: Type.Object({}) }), reply: Nothing },
    ready: { ...question, reply: Report },
    metrics: { ...question, reply: Type.Object({ metrics: Type.Array(Type.Object({})) }) },
    stop: { ...once, request: Nothing, reply: Type.Object({ problems: Type.Array(Type.String()) }) },
  },
});

export const mainPort = definePort<MainPort>({
  name: 'main',
  version: 1,
  methods: {
    ready: { ...question, reply: Report },
    metrics: { ...question, reply: Type.Object({ contentType: Type.String(), text: Type.String() }) },
  },
});

/** What a thread is born with. */
export interface WorkerBirth {
  /** Of the process. */
  readonly name: string;
  /** From 1. */
  readonly number: number;
  readonly httpPort: number;
  readonly variables: Readonly<Record<string, string | undefined>> | undefined;
  readonly port: unknown;
}
