import type { DiptychError } from '@diptych/kernel';
import { ERROR_TABLE, isDiptychError } from '@diptych/kernel';

/**
 * What an error says about the part that was called. The guards ask for nothing else than whether the part *answers*:
 *
 *   answer     it did its work, or refused to with a reason of its own: a CONFLICT, a TOO_LARGE, a defect (INTERNAL), and
 *              every failure of another part behind it that it only passes on
 *   failure    it could not be reached, or did not answer in time
 *   nothing    the caller gave up, or the call never got as far as the part
 *
 * A defect is an answer because opening the circuit for it would let one poisoned request take the part away from everybody. OVERLOADED is
 * said by the part and by bounds on our side in the same words, so it says nothing; a breaker that took it for a failure would
 * turn shedding a little into refusing everything.
 */
export type Evidence = 'answer' | 'failure' | 'nothing';

/** @param waitedMs how long the call was under way; `patienceMs` from which on a deadline says something of the part */
export function evidenceOf(error: unknown, part: string, waitedMs: number, patienceMs: number): Evidence {
  if (!isDiptychError(error) || isOfAnother(error, part)) return 'answer';
  switch (error.code) {
    case 'UNAVAILABLE':
    case 'CONNECTION_LOST':
      return 'failure';
    case 'DEADLINE_EXCEEDED':
      return !error.definite && waitedMs >= patienceMs ? 'failure' : 'nothing';
    case 'OVERLOADED':
    case 'CANCELLED':
      return 'nothing';
    default:
      return 'answer';
  }
}

/**
 * Whether a repeat may help and cannot harm. Only for failures of the part itself: what failed further down was tried again there, and trying
 * again in two layers multiplies.
 */
export function isRepeatable(error: unknown, part: string, safeToRepeat: boolean): error is DiptychError {
  if (!isDiptychError(error) || isOfAnother(error, part) || error.code === 'CIRCUIT_OPEN') return false;
  const { retry } = ERROR_TABLE[error.code];
  return retry === 'backoff' || (retry === 'if-safe' && (safeToRepeat || error.definite));
}

/** Notes whose failure it is, unless somebody nearer to it has done so. */
export function blame(error: unknown, part: string): void {
  if (isDiptychError(error)) error.part ??= part;
}

function isOfAnother(error: DiptychError, part: string): boolean {
  return error.part !== undefined && error.part !== part;
}
