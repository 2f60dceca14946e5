import { deadlines, DeadlineWheel, systemClock } from '@diptych/kernel';
import type { PortDescriptor } from '@diptych/messaging';
import { blame } from './blame.js';
import { Breaker } from './breaker.js';
import { Bulkhead } from './bulkhead.js';
import type { GuardOptions } from './guard-options.js';
import type { Call } from './methods.js';
import { methodsOf } from './methods.js';
import { RetryBudget } from './retry-budget.js';
import { Retry } from './retry.js';

/**
 * The same port, guarded on the caller's side. It goes around any binding, so that what is compared are the bindings and not the guards:
 *
 *   caller ──▶ retry ──▶ breaker ──▶ bulkhead ──▶ binding, which has the bounds ──▶ part
 *
 * Why in this order:
 *
 *   - retry outermost: each attempt asks the breaker and gets a place of its own, and none is held while it waits to try again;
 *     a circuit that opened meanwhile ends it;
 *   - breaker before bulkhead: what an open circuit refuses takes no place in line from others, and a full line, which says
 *     nothing of the part, opens no circuit; who waited in line is asked for the circuit once more;
 *   - bulkhead next to the call: its places are calls that are really under way.
 *
 * Guards have their own state a `guard`, so each caller of a port guards itself: the budget is one for all methods, breaker and bulkhead stand by
 * method (or, the breaker, for the whole port). Topics pass unguarded. Whatever is repeated is repeated in this layer only: see `blame.ts`.
 *
 * @throws (each call) what the port throws; CIRCUIT_OPEN and OVERLOADED before anything was done. After an attempt in doubt, nothing that
 *   claims that nothing happened.
 */
export function guard<Port extends object>(descriptor: PortDescriptor<Port>, port: Port, options: GuardOptions): Port {
  const { caller = 'unnamed', clock = systemClock, except = [] } = options;
  if (!options.retry && !options.breaker && !options.bulkhead) return port;
  const wheel = options.clock ? new DeadlineWheel({ clock }) : deadlines;
  const budget = options.retry && new RetryBudget(options.retry.budget, clock);
  const breakerOfAll = options.breaker?.per === 'port' ? new Breaker(descriptor.name, options.breaker, clock) : undefined;
  const guarded: Record<string, unknown> = {};
  for (const { name, kind, safeToRepeat, call } of methodsOf(descriptor, port)) {
    guarded[name] = call;
    if (kind === 'topic' || except.includes(name)) continue;
    const what = `${descriptor.name}.${name}`;
    const breaker = breakerOfAll ?? (options.breaker && new Breaker(descriptor.name, options.breaker, clock));
    const bulkhead = options.bulkhead && new Bulkhead(what, options.bulkhead, wheel);
    let outermost = call;
    if (bulkhead) outermost = bulkhead.around(outermost, () => breaker?.refusal(what));
    if (breaker) outermost = breaker.around(outermost, what);
    const retry =
      options.retry && budget && new Retry(outermost, { part: descriptor.name, method: name, safeToRepeat }, options.retry, budget, clock);
    if (retry) outermost = retry.call;
    guarded[name] = retry || breaker ? outermost : blaming(outermost, descriptor.name);
    options.metrics?.add({ caller, port: descriptor.name, method: name, retry, budget, breaker, bulkhead });
  }
  return guarded as Port;
}

/** Where no guard looks at errors, those who call further up still want to know whose they are. */
function blaming(call: Call, part: string): Call {
  return (request, context) =>
    call(request, context).then(undefined, (error: unknown) => {
      blame(error, part);
      throw error;
    });
}
