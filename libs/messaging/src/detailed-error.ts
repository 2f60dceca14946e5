import type { ErrorCode } from '@diptych/kernel';
import { DiptychError } from '@diptych/kernel';

/** An error that carries plain data for its caller across the wire, as Nest's exceptions do. Whoever makes one bounds the data. */
export class DetailedError extends DiptychError {
  readonly details: unknown;

  constructor(code: ErrorCode, message: string, details: unknown, options: ConstructorParameters<typeof DiptychError>[2] = {}) {
    super(code, message, options);
    this.details = details;
  }
}

/** Undefined when there are none. Works across duplicate copies of this package. */
export function detailsOf(error: DiptychError): unknown {
  return (error as Partial<DetailedError>).details;
}
