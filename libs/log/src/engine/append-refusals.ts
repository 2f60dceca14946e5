import { DiptychError } from '@diptych/kernel';
import type { Condition } from '../log.port.js';

/** Why a condition does not hold; undefined when it does. @param current revision of the key's entry; 0 when it is absent */
export function conflictWith(
  condition: Condition,
  current: number,
  { incarnation, partition }: { readonly incarnation: string; readonly partition: number },
): DiptychError | undefined {
  if (condition.kind === 'ifAbsent') return current === 0 ? undefined : conflict('the key is present');
  if (current === 0) return conflict('the key is absent');
  if (condition.kind === 'ifPresent') return undefined;
  const matches = condition.anyOf.some(
    (position) => position.revision === current && position.incarnation === incarnation && position.partition === partition,
  );
  return matches ? undefined : conflict('the key has another revision');
}

function conflict(why: string): DiptychError {
  return new DiptychError('CONFLICT', `the condition does not hold: ${why}`);
}

export function otherPayload(requestId: string): DiptychError {
  return new DiptychError('INVALID_REQUEST', `the requestId ${JSON.stringify(requestId)} was used with another mutation`);
}
