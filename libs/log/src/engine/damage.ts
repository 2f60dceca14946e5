import { DiptychError } from '@diptych/kernel';

/** Data that was once durable is not as it was written. Nothing is repaired or skipped: that is for a person to decide. */
export function damageError(path: string, offset: number, what: string): DiptychError {
  return new DiptychError(
    'INTERNAL',
    `${path} is damaged at offset ${offset}: ${what}. Nothing was changed. Restore this file from a copy.`,
  );
}
