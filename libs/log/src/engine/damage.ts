import { basename } from 'node:path';
import { DiptychError } from '@diptych/kernel';

/** Data that was once durable is not as it was written. Nothing is repaired or skipped: that is for a person to decide. */
export function damageError(path: string, offset: number, what: string): DiptychError {
  return new DiptychError(
    'INTERNAL',
    `${path} is damaged at offset ${offset}: ${what}. It was left as it is. To go on with an older copy, stop every process that reads this log, then put the whole directory in its place.`,
  );
}

/** Bytes that are no whole record, with a whole one of a later batch at an offset behind them. */
export function laterWriteError(path: string, offset: number, later: number): DiptychError {
  return damageError(path, offset, `${NOT_WHOLE}, and a later write, at offset ${later}, proves that it was durable once`);
}

export const NOT_WHOLE = 'what stands there is no whole record (its length or checksum is wrong)';

/** Found by a call, whose answer may go far: it names the file without where on this machine it lies. */
export function unreadableError(path: string, offset: number): DiptychError {
  return new DiptychError('INTERNAL', `${basename(path)} is damaged at offset ${offset}: a record cannot be read back`);
}
