import type { CallContext, Clock } from '@diptych/kernel';
import { DiptychError, isDiptychError } from '@diptych/kernel';
import type { IBackoff } from 'cockatiel';
import { ExponentialBackoff, fullJitterGenerator } from 'cockatiel';
import { blame, isRepeatable } from './blame.js';
import type { RetryOptions } from './guard-options.js';
import type { Call } from './methods.js';
import type { RetryBudget } from './retry-budget.js';

/** What a retry needs to know of the method in front of which it stands. */
export interface Retried {
  readonly part: string;
  readonly method: string;
  readonly safeToRepeat: boolean;
}

/**
 * Repeats a call that failed, when that can help and cannot harm: the error says so (`isRepeatable`), the budget has a repeat left, and the wait
 * is short and ends before the deadline. The waits are drawn anew each time over their whole range (full jitter), so that those
 * who failed together do not come back together; a part that said when to come back is not asked before.
 *
 * Once an attempt has ended in doubt, the call ends in an answer or in doubt: a later definite refusal speaks of the repeat, and would tell the
 * caller that nothing happened when the first attempt may yet happen.
 */
export class Retry {
  readonly #call: Call;
  readonly #method: Retried;
  readonly #options: RetryOptions;
  readonly #budget: RetryBudget;
  readonly #clock: Clock;
  readonly #backoff: ExponentialBackoff<number>;
  repeats = 0;
  repeatsDenied = 0;

  constructor(call: Call, method: Retried, options: RetryOptions, budget: RetryBudget, clock: Clock) {
    this.#call = call;
    this.#method = method;
    this.#options = options;
    this.#budget = budget;
    this.#clock = clock;
    const { firstWaitMs: initialDelay, waitMsMax: maxDelay } = options;
    this.#backoff = new ExponentialBackoff({ generator: fullJitterGenerator, initialDelay, maxDelay });
  }

  readonly call: Call = (request, context) => {
    this.#budget.earn();
    return this.#call(request, context).then(undefined, (error: unknown) => this.#goOn(request, context, error));
  };

  async #goOn(request: unknown, context: CallContext, firstError: unknown): Promise<unknown> {
    let error = firstError;
    let doubt: DiptychError | undefined;
    let backoff: IBackoff<unknown> | undefined;
    for (let attempts = 1; ; attempts++) {
      blame(error, this.#method.part);
      doubt ??= inDoubt(error);
      if (attempts >= this.#options.attemptsMax || !isRepeatable(error, this.#method.part, this.#method.safeToRepeat))
        throw verdict(error, doubt);
      backoff = (backoff ?? this.#backoff).next(undefined);
      const waitMs = backoff.duration + (error.retryAfterMs ?? 0);
      if (!this.#fits(waitMs, context) || !this.#take()) throw verdict(error, doubt);
      await this.#pause(waitMs, context, doubt);
      this.repeats++;
      try {
        return await this.#call(request, context);
      } catch (thrown) {
        error = thrown;
      }
    }
  }

  #fits(waitMs: number, context: CallContext): boolean {
    return waitMs <= this.#options.waitMsMax && this.#clock.nowMs() + waitMs < context.deadlineMs && context.signal?.aborted !== true;
  }

  #take(): boolean {
    const taken = this.#budget.take();
    if (!taken) this.repeatsDenied++;
    return taken;
  }

  /** At most `waitMsMax` long, and ends at once when the caller gives up. */
  #pause(waitMs: number, { signal }: CallContext, doubt: DiptychError | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const timer = this.#clock.after(waitMs, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      const onAbort = () => {
        timer[Symbol.dispose]();
        const what = `${this.#method.part}.${this.#method.method}`;
        const cancelled = new DiptychError('CANCELLED', `${what} was cancelled while it waited to be tried again`, {
          definite: doubt === undefined,
          cause: signal?.reason,
        });
        reject(cancelled);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}

function inDoubt(error: unknown): DiptychError | undefined {
  return isDiptychError(error) && !error.definite ? error : undefined;
}

function verdict(last: unknown, doubt: DiptychError | undefined): unknown {
  if (doubt === undefined || last === doubt || !isDiptychError(last) || !last.definite) return last;
  const message = `${doubt.message}; what was tried after that ended with ${last.code}: ${last.message}`;
  return new DiptychError(doubt.code, message, { part: doubt.part, cause: last });
}
