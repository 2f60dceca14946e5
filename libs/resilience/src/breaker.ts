import type { CallContext, Clock } from '@diptych/kernel';
import { DiptychError } from '@diptych/kernel';
import type { CircuitBreakerPolicy, IBackoff } from 'cockatiel';
import { circuitBreaker, CircuitState, handleWhen, SamplingBreaker } from 'cockatiel';
import { blame, evidenceOf } from './blame.js';
import type { BreakerOptions } from './guard-options.js';
import type { CircuitName } from './guard-watch.js';
import type { Call } from './methods.js';

/**
 * Stops calling a part that does not answer, and asks it now and then whether it does again: closed, open, half-open. The states and the count
 * are cockatiel's. What is ours:
 *
 *   - what counts (`evidenceOf`), and that a call which began before the last change of state no longer does: what timed out in the
 *     outage must not open the circuit again after it;
 *   - time: cockatiel asks the wall clock, which may jump, for how long the circuit was open; here it is told by our clock;
 *   - half-open: cockatiel lets all others wait, without a bound, until the probe is decided. Here they are refused at once.
 *   - a probe whose caller gave up proves nothing, and cockatiel would take it for a success.
 */
export class Breaker {
  readonly #part: string;
  readonly #options: BreakerOptions;
  readonly #clock: Clock;
  readonly #samples: SamplingBreaker;
  readonly #policy: CircuitBreakerPolicy;
  readonly #failures = new WeakSet<object>();
  #opensAtMs = -Infinity;
  #changedMs = -Infinity;
  #probes = 0;
  openings = 0;
  refusals = 0;

  constructor(part: string, options: BreakerOptions, clock: Clock) {
    this.#part = part;
    this.#options = options;
    this.#clock = clock;
    this.#samples = new SamplingBreaker({
      threshold: options.failureRatio,
      duration: options.windowMs,
      minimumRps: (options.callsMin * 1_000) / options.windowMs,
    });
    const isShut = () => clock.nowMs() < this.#opensAtMs;
    // cockatiel compares it with the time by the wall clock at every call to an open circuit.
    const untilProbe: IBackoff<unknown> = {
      get duration() {
        return isShut() ? Infinity : -Infinity;
      },
      next: () => untilProbe,
    };
    this.#policy = circuitBreaker(
      handleWhen((error) => this.#failures.has(error as object)),
      { breaker: this.#samples, halfOpenAfter: untilProbe, halfOpenSampling: { calls: options.probes, threshold: 0 } },
    );
    this.#policy.onStateChange((state) => {
      this.#changedMs = clock.nowMs();
      this.#probes = 0;
      if (state !== CircuitState.Open) return;
      this.#opensAtMs = this.#changedMs + options.openMs;
      this.openings++;
    });
  }

  get state(): CircuitName {
    const { state } = this.#policy;
    return state === CircuitState.Closed ? 'closed' : state === CircuitState.HalfOpen ? 'half-open' : 'open';
  }

  /** The circuit in front of `call`. @throws (each call) CIRCUIT_OPEN, with the time until the next probe */
  around(call: Call, what: string): Call {
    return (request, context) => {
      if (this.#policy.state === CircuitState.Closed) return this.#callClosed(call, request, context);
      const refusal = this.refusal(what);
      if (refusal) return Promise.reject(refusal);
      return this.#policy.execute(() => {
        const probe = this.#policy.state === CircuitState.HalfOpen;
        if (probe) this.#probes++;
        const beganMs = this.#clock.nowMs();
        return call(request, context).then(undefined, (error: unknown) => this.#judge(error, beganMs, probe));
      });
    };
  }

  /**
   * With the circuit closed cockatiel has nothing to say before a call, so it hears only how that ended: of a success as it would note it itself, of a failure by
   * a call that fails so. Its three promises a call cost more than all else about a guarded call.
   */
  #callClosed(call: Call, request: unknown, context: CallContext): Promise<unknown> {
    const beganMs = this.#clock.nowMs();
    return call(request, context).then(
      (reply) => {
        this.#samples.success(CircuitState.Closed);
        return reply;
      },
      (error: unknown) => {
        const rethrow = () => this.#judge(error, beganMs, false);
        return this.#policy.state === CircuitState.Closed ? this.#policy.execute(rethrow) : rethrow();
      },
    );
  }

  /** Why a call could not begin now, if it could not. */
  refusal(what: string): DiptychError | undefined {
    const { state } = this.#policy;
    if (state === CircuitState.Closed) return undefined;
    const waitMs =
      state === CircuitState.Open
        ? this.#opensAtMs - this.#clock.nowMs()
        : this.#probes < this.#options.probes
          ? 0
          : Math.min(PROBE_RETRY_AFTER_MS, this.#options.openMs);
    if (waitMs <= 0) return undefined;
    this.refusals++;
    const why = state === CircuitState.Open ? 'the part did not answer' : 'the part is being asked whether it answers again';
    return new DiptychError('CIRCUIT_OPEN', `${what} was not called: ${why}; the circuit in front of it is open`, {
      retryAfterMs: Math.ceil(waitMs),
      part: this.#part,
    });
  }

  #judge(error: unknown, beganMs: number, probe: boolean): never {
    const { patienceMs } = this.#options;
    const evidence = evidenceOf(error, this.#part, this.#clock.nowMs() - beganMs, patienceMs);
    blame(error, this.#part);
    const current = beganMs >= this.#changedMs;
    if (current && typeof error === 'object' && error !== null) {
      if (evidence === 'failure' || (probe && evidence === 'nothing')) this.#failures.add(error);
      else if (evidence === 'answer' && !probe) this.#samples.success(CircuitState.Closed);
    }
    throw error;
  }
}

/** A probe takes as long as a call. */
const PROBE_RETRY_AFTER_MS = 100;
