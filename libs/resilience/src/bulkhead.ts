import type { CallContext, DeadlineWheel } from '@diptych/kernel';
import { assertAlive, DiptychError, onContextEnd } from '@diptych/kernel';
import type { BulkheadPolicy } from 'cockatiel';
import { bulkhead, BulkheadRejectedError } from 'cockatiel';
import type { BulkheadOptions } from './guard-options.js';
import type { Call } from './methods.js';

/**
 * Lets so many calls of one method be under way, and so many wait in line; what comes after that is OVERLOADED at once. So a part that slows
 * down holds up a known number of calls of this caller and no more. Slots and line are cockatiel's; that nobody waits in line past
 * its deadline, or for a circuit that has opened meanwhile, is ours.
 */
export class Bulkhead {
  readonly #what: string;
  readonly #options: BulkheadOptions;
  readonly #wheel: DeadlineWheel;
  readonly #policy: BulkheadPolicy;
  refusals = 0;

  constructor(what: string, options: BulkheadOptions, wheel: DeadlineWheel) {
    this.#what = what;
    this.#options = options;
    this.#wheel = wheel;
    this.#policy = bulkhead(options.concurrentMax, options.queueMax);
  }

  get inFlight(): number {
    return this.#options.concurrentMax - this.#policy.executionSlots;
  }

  /** In line, those included who gave up and have not been passed over yet. */
  get queued(): number {
    return this.#options.queueMax - this.#policy.queueSlots;
  }

  /**
   * @param refusal asked before a call that had to wait begins
   * @throws (each call) OVERLOADED; DEADLINE_EXCEEDED and CANCELLED, definite, when the call did not get its turn
   */
  around(call: Call, refusal: () => DiptychError | undefined): Call {
    return (request, context) => {
      if (this.#policy.executionSlots > 0) return this.#policy.execute(() => call(request, context));
      if (this.#policy.queueSlots <= 0) return Promise.reject(this.#overloaded());
      return this.#wait(call, request, context, refusal);
    };
  }

  #wait(call: Call, request: unknown, context: CallContext, refusal: () => DiptychError | undefined): Promise<unknown> {
    return new Promise<unknown>((resolve, reject) => {
      assertAlive(context, this.#wheel.clock);
      let gone = false;
      const callOff = onContextEnd(
        context,
        (code, cause) => {
          gone = true;
          reject(new DiptychError(code, `${this.#what} did not get its turn: ${this.#busy()}`, { definite: true, cause }));
        },
        this.#wheel,
      );
      this.#policy
        .execute(() => {
          callOff();
          // Its caller has been told; all that is left is to pass the slot on.
          if (gone) return undefined;
          const refused = refusal();
          if (refused) throw refused;
          return call(request, context);
        })
        .then(resolve, (error: unknown) => {
          callOff();
          // A newcomer may take the slot of one that waits, which then finds the line full.
          reject(error instanceof BulkheadRejectedError ? this.#overloaded() : (error as DiptychError));
        });
    });
  }

  #overloaded(): DiptychError {
    this.refusals++;
    return new DiptychError('OVERLOADED', `${this.#what} was not called: ${this.#busy()}`, { retryAfterMs: RETRY_AFTER_MS });
  }

  #busy(): string {
    return `${this.#options.concurrentMax} calls of it are under way and ${this.#options.queueMax} may wait`;
  }
}

const RETRY_AFTER_MS = 100;
