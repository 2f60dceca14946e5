import { basename } from 'node:path';
import { DiptychError } from '@diptych/kernel';

/** Data that was once durable is not as it was written. Nothing is repaired or skipped: that is for a person to decide. */
export function damageError(path: string, offset: number, what: string): DiptychError {
  return new DiptychError(
    'INTERNAL',
    `${path} is damaged at offset ${offset}: ${what}. It was left as it is. To go on with an older copy, stop every process that reads this log, then put the whole directory in its place.`,
  );
}

/** Found by a call, whose answer may go far: it names the file without where on this machine it lies. */
export function unreadableError(path: string, offset: number): DiptychError {
  return new DiptychError('INTERNAL', `${basename(path)} is damaged at offset ${offset}: a record cannot be read back`);
}
