import { isDiptychError } from '@diptych/kernel';
import type { Plan } from './plan.js';
import { LONG_MS } from './plan.js';
import type { Done } from './torture-port.js';
import { OVERSIZE_BYTES, payloadOf } from './torture-port.js';

/** How a call ended, as its caller saw it. */
export type Outcome =
  | { readonly done: Done; readonly values: readonly Done[] }
  | { readonly code: string; readonly definite: boolean; readonly message: string };

/** What a call may have met while it was in flight: the broker was gone, or a server drained and served anew. */
export type Trouble = 'restart' | 'drain';

/** How often the handler must have run in the end, as far as the outcome promises it. */
export const Ran = { NEVER: 0, ONCE: 1, AT_MOST_ONCE: 2 } as const;
export type Ran = (typeof Ran)[keyof typeof Ran];

/** What a handler says of itself, by which its own errors are told from those of the transport. */
export const ownMessage = (i: number) => `the handler of ${i} fails, as told`;

/**
 * Whether a call may end so, given what it asked for and what it met. Gives back what its outcome promises about the handler,
 * which is looked at when all is over, since a definite error also says that the handler *will* not run.
 *
 * @throws Error that says what is wrong
 */
export function judge(plan: Plan, outcome: Outcome, met: ReadonlySet<Trouble>): Ran {
  if ('done' in outcome) {
    assertAnswer(plan, outcome.done, outcome.values);
    return Ran.ONCE;
  }
  const { code, definite, message } = outcome;
  const isOwn = message === ownMessage(plan.i);
  if (isOwn && plan.does === 'fail' && code === plan.code && !neverRuns(plan)) return Ran.ONCE;
  if (isOwn || /the handler of/.test(message)) throw new Error(`it got the error of another: ${code} ${message}`);
  if (!allowed(plan, met).includes(code)) throw new Error(`${code} (${message}) is none of ${allowed(plan, met).join(', ')}`);
  if (code === 'INTERNAL') return Ran.ONCE;
  if (isDead(plan) && !definite) throw new Error(`${code} is not definite, though the call was dead before it began`);
  return definite ? Ran.NEVER : Ran.AT_MOST_ONCE;
}

function assertAnswer(plan: Plan, done: Done, values: readonly Done[]): void {
  const { i, bytes, does } = plan;
  if (done.i !== i) throw new Error(`it got the answer of ${done.i}`);
  if (neverRuns(plan) || !['answer', 'plain', 'stream'].includes(does)) throw new Error('it was answered');
  if (!Buffer.from(done.payload).equals(payloadOf(i, bytes))) throw new Error('its answer has other bytes than it sent');
  const expected = does === 'stream' ? plan.values : 0;
  values.forEach((value, at) => {
    if (value.i !== i || value.value !== at) throw new Error(`value ${at} of its stream is value ${value.value} of ${value.i}`);
    if (!Buffer.from(value.payload).equals(payloadOf(i + at, streamBytes(bytes, at)))) throw new Error(`value ${at} has other bytes`);
  });
  if (values.length !== expected) throw new Error(`${values.length} of its ${expected} values came before its answer`);
}

/** Small ones and some that travel alone. */
export const streamBytes = (bytes: number, at: number) => (at % 5 === 4 ? 17_000 : bytes % 700);

/** Whatever happens: the handler must not see it. One that is given up in the same step may have left all the same: that is looked at every 5 ms. */
function neverRuns(plan: Plan): boolean {
  return isDead(plan) || plan.method === 'missing' || plan.malformed || plan.bytes === OVERSIZE_BYTES;
}

function isDead({ timeoutMs, abort }: Plan): boolean {
  return timeoutMs <= 0 || abort === 'before';
}

/** The codes a call may end with besides its handler's own error. */
function allowed(plan: Plan, met: ReadonlySet<Trouble>): string[] {
  const { does, method, malformed, timeoutMs, abort, bytes, caller } = plan;
  // What is asked first, before anything else can go wrong.
  if (abort === 'before') return ['CANCELLED'];
  if (timeoutMs <= 0) return ['DEADLINE_EXCEEDED'];
  const codes: string[] = [];
  if (abort !== undefined) codes.push('CANCELLED');
  if (timeoutMs < LONG_MS) codes.push('DEADLINE_EXCEEDED');
  if (met.has('restart')) codes.push('UNAVAILABLE', 'CONNECTION_LOST');
  // A server that drains does not wait for the work on a call past its deadline, and its end may be heard of before the caller's own clock is looked at.
  if (met.has('drain') && timeoutMs < LONG_MS) codes.push('CONNECTION_LOST');
  // A plain client keeps its own time.
  if (caller === 'plain' && (met.has('restart') || timeoutMs < LONG_MS || does === 'never')) codes.push('PLAIN');
  if (caller === 'narrow') codes.push('OVERLOADED');
  if (bytes === OVERSIZE_BYTES) return [...codes, 'TOO_LARGE'];
  if (method === 'missing') return [...codes, 'UNAVAILABLE'];
  if (malformed) return [...codes, 'INVALID_REQUEST'];
  if (does === 'throw' || does === 'oversize' || does === 'garble') codes.push('INTERNAL');
  return codes;
}

/** An error as an outcome. Of a plain client's own errors only "no responders" says that nothing was done. */
export function outcomeOf(error: unknown): Outcome {
  if (isDiptychError(error)) return error;
  const { name, message } = error as Error;
  const nobody = /no responders/i.test(`${name} ${message}`);
  return { code: nobody ? 'UNAVAILABLE' : 'PLAIN', definite: nobody, message: `${name} ${message}` };
}
