import { DiptychError } from '@diptych/kernel';

/**
 * Whether this process can do its work. Parts register checks; a process is ready when all of them say so and nobody holds
 * it back. Checks run on every question asked, so they look at a state that is already known and never wait.
 */
export class Health {
  readonly #checks = new Map<string, () => HealthAnswer>();
  readonly #holds = new Set<string>();

  /**
   * Adds a check; disposing takes it away. A check that throws counts as a no with the message as its reason.
   *
   * @throws INVALID_REQUEST when the name is taken
   */
  check(name: string, ask: () => HealthAnswer): Disposable {
    if (this.#checks.has(name)) throw new DiptychError('INVALID_REQUEST', `a health check named ${name} exists already`);
    this.#checks.set(name, ask);
    return { [Symbol.dispose]: () => void this.#checks.delete(name) };
  }

  /** Not ready for this reason until disposed, whatever the checks say: `starting`, `draining`. */
  hold(reason: string): Disposable {
    this.#holds.add(reason);
    return { [Symbol.dispose]: () => void this.#holds.delete(reason) };
  }

  /** Whether to send this process requests. */
  ready(): HealthReport {
    const checks: Record<string, HealthAnswer> = {};
    const reasons = [...this.#holds];
    for (const [name, ask] of this.#checks) {
      const answer = answerOf(ask);
      checks[name] = answer;
      if (!answer.ok) reasons.push(`${name}: ${answer.reason ?? 'not ready'}`);
    }
    return { ok: reasons.length === 0, reasons, checks };
  }
}

export interface HealthAnswer {
  readonly ok: boolean;
  /** What is wrong, for people. Left out of the report when ok. */
  readonly reason?: string | undefined;
}

export interface HealthReport {
  readonly ok: boolean;
  readonly reasons: readonly string[];
  readonly checks: Readonly<Record<string, HealthAnswer>>;
}

function answerOf(ask: () => HealthAnswer): HealthAnswer {
  try {
    const { ok, reason } = ask();
    return ok ? { ok } : { ok, reason };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}
