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
import type { Tally } from './tally.js';
import { SPREAD_CALLS } from './tally.js';
import type { Done, Order, TorturePort } from './torture-port.js';
import { payloadOf, torturePort } from './torture-port.js';

type Streaming = (order: Order, context: CallContext, onValue: (value: Done) => void) => Promise<Done>;
type Framed = Exclude<Caller, 'plain'>;

/** All who call: three links, one of which may have few calls in flight, and a plain NATS client. */
export class Callers {
  readonly faults: string[] = [];
  readonly #url: string;
  readonly #tally: Tally;
  readonly #links = new Map<Framed, NatsLink>();
  readonly #ports = new Map<Framed, TorturePort>();
  #plain: NatsConnection | undefined;

  private constructor(url: string, tally: Tally) {
    this.#url = url;
    this.#tally = tally;
  }

  static async connect(url: string, tally: Tally): Promise<Callers> {
    const callers = new Callers(url, tally);
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
    this.#plain = await connect({ servers: this.#url, reconnect: false });
  }

  async closePlain(): Promise<void> {
    await this.#plain?.close();
    this.#plain = undefined;
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
          const { server } = await port.run(orderOf(plainPlan(i + k)), within(30_000));
          served.set(server, (served.get(server) ?? 0) + 1);
        }),
      );
    }
    // As many as may be in flight still may.
    const narrow = Array.from({ length: NARROW_MAX }, (_, k) =>
      this.#ports.get('narrow')!.run(orderOf(plainPlan(from + SPREAD_CALLS + k)), within(30_000)),
    );
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
    const context = within(timeoutMs, { signal: controller?.signal, traceparent: `trace-${i}` });
    const order = orderOf(plan, context.deadlineMs);
    const values: Done[] = [];
    const call = (port[method] as Streaming)(order, context, (value) => values.push(value));
    if (controller && abort !== 'before') giveUp(controller, abort!);
    return { done: await call, values };
  }

  async #askPlainly(plan: Plan): Promise<Outcome> {
    if (!this.#plain) throw new Error('the plain client is not connected');
    const { i, method, timeoutMs } = plan;
    const fields = headers();
    fields.set('Diptych-Timeout-Ms', String(timeoutMs));
    fields.set('traceparent', `trace-${i}`);
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

const plainPlan = (i: number) => ({ ...planOf(0, i), does: 'answer' as const, delayMs: 0, bytes: 10, malformed: false, timeoutMs: 30_000 });
