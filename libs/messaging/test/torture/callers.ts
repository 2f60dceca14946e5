import type { CallContext } from '@diptych/kernel';
import { systemClock, within } from '@diptych/kernel';
import { waitFor } from '@diptych/testing';
import type { NatsConnection } from '@nats-io/transport-node';
import { connect, headers } from '@nats-io/transport-node';
import { DiptychError, isErrorCode } from '@diptych/kernel';
import type { NatsLink } from '../../src/index.js';
import { connectNats } from '../../src/index.js';
import type { Outcome } from './model.js';
import { outcomeOf } from './model.js';
import type { Caller, Plan } from './plan.js';
import { LONG_MS, NARROW_MAX, planOf } from './plan.js';
import type { SecondEnds } from './second-ends.js';
import type { Tally } from './tally.js';
import { SPREAD_CALLS } from './tally.js';
import type { Done, Order, TorturePort } from './torture-port.js';
import { payloadOf, torturePort, traceOf } from './torture-port.js';

type Streaming = (order: Order, context: CallContext, onValue: (value: Done) => void) => Promise<Done>;
type Framed = Exclude<Caller, 'plain'>;

/** All who call: three links, one of which may have few calls in flight, and a plain NATS client. */
export class Callers {
  readonly faults: string[] = [];
  readonly #url: string;
  readonly #tally: Tally;
  readonly #secondEnds: SecondEnds;
  readonly #links = new Map<Framed, NatsLink>();
  readonly #ports = new Map<Framed, TorturePort>();
  #plain: NatsConnection | undefined;
  /** Hears the replies to the plain client as well, which itself listens to the first only. */
  #ear: NatsConnection | undefined;
  readonly #plainReplies = new Set<string>();

  private constructor(url: string, tally: Tally, secondEnds: SecondEnds) {
    this.#url = url;
    this.#tally = tally;
    this.#secondEnds = secondEnds;
  }

  static async connect(url: string, tally: Tally, secondEnds: SecondEnds): Promise<Callers> {
    const callers = new Callers(url, tally, secondEnds);
    for (const name of ['any', 'keyed', 'narrow'] as const) {
      const link = await connectNats({
        servers: url,
        name,
        pingIntervalMs: 5_000,
        onFault: (fault) => callers.faults.push(fault.message),
        ...(name === 'narrow' ? { bounds: { inFlightMax: NARROW_MAX } } : {}),
      });
      callers.#links.set(name, link);
      callers.#ports.set(name, link.client(torturePort, { ownedByKey: name === 'keyed' }));
    }
    return callers;
  }

  /** Resolves when all are connected and know all servers, and no other. */
  async ready(servers: number): Promise<void> {
    await waitFor(() => this.#all.every(({ status, routing }) => status === 'connected' && routing.members === servers), {
      timeoutMs: 30_000,
      what: 'that all callers know all servers',
    });
  }

  /** Anew: what it had in flight fails at once. */
  async connectPlain(): Promise<void> {
    await this.closePlain();
    this.#ear = await connect({ servers: this.#url, reconnect: false });
    this.#ear.subscribe(`${PLAIN_INBOX}.>`, { callback: (_, { subject }) => this.#hearPlain(subject) });
    await this.#ear.flush();
    this.#plain = await connect({ servers: this.#url, reconnect: false, inboxPrefix: PLAIN_INBOX });
  }

  async closePlain(): Promise<void> {
    await Promise.all([this.#plain?.close(), this.#ear?.close()]);
    this.#plain = undefined;
  }

  #hearPlain(subject: string): void {
    if (this.#plainReplies.has(subject)) this.#secondEnds.add(`a second reply came to the plain client, at ${subject}`);
    this.#plainReplies.add(subject);
  }

  get inFlight(): number {
    return this.#all.reduce((sum, link) => sum + link.inFlight, 0);
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((link) => link.close(0)));
  }

  /** Makes the planned call and tells the tally how it ended. */
  async make(i: number): Promise<void> {
    const plan = planOf(this.#tally.seed, i);
    if (plan.delayMs % 3 === 1) await new Promise<void>((resolve) => setImmediate(resolve));
    const startMs = systemClock.nowMs();
    let outcome: Outcome;
    try {
      outcome = plan.caller === 'plain' ? await this.#askPlainly(plan) : await this.#call(plan, this.#ports.get(plan.caller)!);
    } catch (error) {
      outcome = outcomeOf(error);
    }
    this.#tally.ended(i, outcome, startMs, startMs + plan.timeoutMs);
    // While nobody can be reached calls fail at once: most of them shall be made when somebody can.
    if ('code' in outcome && i % 50 !== 0) await this.#connected(plan.caller);
  }

  /** Many equal calls when all is over. What a member is wrongly believed to have in flight still would keep calls from it. */
  async spread(begun: Int32Array, from: number): Promise<number[]> {
    const served = new Map<string, number>();
    const port = this.#ports.get('any')!;
    for (let i = from; i < from + SPREAD_CALLS; i += 30) {
      await Promise.all(
        Array.from({ length: 30 }, async (_, k) => {
          const { server } = await port.run(orderOf(plainPlan(i + k)), lastContext(i + k));
          served.set(server, (served.get(server) ?? 0) + 1);
        }),
      );
    }
    // As many as may be in flight still may.
    const narrow = Array.from({ length: NARROW_MAX }, (_, k) => {
      const i = from + SPREAD_CALLS + k;
      return this.#ports.get('narrow')!.run(orderOf(plainPlan(i)), lastContext(i));
    });
    await Promise.all(narrow);
    if (begun.subarray(from).some((count) => count !== 1)) throw new Error('one of the last calls did not run once');
    return [...served.values()];
  }

  get #all(): NatsLink[] {
    return [...this.#links.values()];
  }

  async #connected(caller: Caller): Promise<void> {
    const link = this.#links.get(caller === 'plain' ? 'any' : caller)!;
    if (link.status === 'connected' && (caller !== 'plain' || this.#plain?.isClosed() === false)) return;
    await waitFor(() => link.status === 'connected' && (caller !== 'plain' || this.#plain?.isClosed() === false), { timeoutMs: 30_000 });
  }

  async #call(plan: Plan, port: TorturePort): Promise<Outcome> {
    const { i, abort, method, timeoutMs } = plan;
    const controller = abort === undefined ? undefined : new AbortController();
    if (abort === 'before') controller!.abort();
    const context = within(timeoutMs, { signal: controller?.signal, traceparent: traceOf(i) });
    const order = orderOf(plan, context.deadlineMs);
    const values: Done[] = [];
    let hasEnded = false;
    const call = (port[method] as Streaming)(order, context, (value) => {
      values.push(value);
      if (hasEnded) this.#secondEnds.add(`a value came for call ${i}, which had ended`);
    });
    if (controller && abort !== 'before') giveUp(controller, abort!);
    const done = await call.finally(() => (hasEnded = true));
    return { done, values };
  }

  async #askPlainly(plan: Plan): Promise<Outcome> {
    if (!this.#plain) throw new Error('the plain client is not connected');
    const { i, method, timeoutMs } = plan;
    const fields = headers();
    fields.set('Diptych-Timeout-Ms', String(timeoutMs));
    fields.set('traceparent', traceOf(i));
    const order = orderOf(plan);
    const json = JSON.stringify({ ...order, payload: Buffer.from(order.payload).toString('base64') });
    const reply = await this.#plain.request(`diptych.torture.v1.${method}`, json, {
      timeout: plan.does === 'never' || timeoutMs < LONG_MS ? 500 : 60_000,
      headers: fields,
    });
    const answer = reply.json<{ error?: { code: string; message: string; definite: boolean }; i: number; payload: string }>();
    if (answer.error) {
      const { code, message, definite } = answer.error;
      if (!isErrorCode(code) || reply.headers?.get('Diptych-Error') !== code) throw new Error(`no error of the table: ${code}`);
      throw new DiptychError(code, message, { definite });
    }
    return { done: { i: answer.i, server: '', payload: Buffer.from(answer.payload, 'base64') }, values: [] };
  }
}

function giveUp(controller: AbortController, when: Exclude<Plan['abort'], undefined>): void {
  if (when === 'sync') controller.abort();
  else if (when === 'micro') queueMicrotask(() => controller.abort());
  else if (when === 'turn') setImmediate(() => controller.abort());
  else systemClock.after(Number(when), () => controller.abort());
}

function orderOf(plan: Plan, deadlineMs = systemClock.nowMs() + plan.timeoutMs): Order {
  const { i, does, delayMs, bytes, code, values, malformed } = plan;
  const payload = payloadOf(i, bytes);
  const order = { i, does, delayMs, endsMs: performance.timeOrigin + deadlineMs, payload, code, values };
  return malformed ? { ...order, i: -1 } : order;
}

const lastContext = (i: number) => within(30_000, { traceparent: traceOf(i) });
const PLAIN_INBOX = '_PLAIN';

const plainPlan = (i: number) => ({ ...planOf(0, i), does: 'answer' as const, delayMs: 0, bytes: 10, malformed: false, timeoutMs: 30_000 });
