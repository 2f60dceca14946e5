import { DiptychError, isDiptychError, isErrorCode } from '@diptych/kernel';
import { Catch } from '@nestjs/common';
import { BaseRpcExceptionFilter } from '@nestjs/microservices';
import type { Observable } from 'rxjs';
import { throwError } from 'rxjs';
import { encode } from '../codec.js';
import { DetailedError, detailsOf } from '../detailed-error.js';

/**
 * Lets the `DiptychError`s that a handler throws reach its caller as they are. Without it they are to Nest what any unknown exception is:
 * "Internal server error". `app.useGlobalFilters(new DiptychErrorFilter())`
 */
@Catch(DiptychError)
export class DiptychErrorFilter extends BaseRpcExceptionFilter<DiptychError> {
  override catch(exception: DiptychError): Observable<never> {
    return throwError(() => exception);
  }
}

/**
 * What crosses the wire for what a handler, or Nest's exception filter, came up with. An object keeps its fields as `details`; if it has a `code`
 * of the error table, that is its code too, as in `new RpcException({ code: 'NOT_FOUND', message: 'no such order' })`.
 */
export function toWireError(error: unknown): DiptychError {
  if (isDiptychError(error)) return error;
  const { code, message, retryAfterMs } = (typeof error === 'object' && error !== null ? error : {}) as Record<string, unknown>;
  const text = typeof message === 'string' ? message : typeof error === 'string' ? error : 'the handler failed';
  const details = error instanceof Error ? { status: 'error', message: text } : error;
  if (!canCross(details))
    return new DiptychError('INTERNAL', `${text} (its details cannot be sent: they are larger than 64 KiB, or no plain data)`);
  return new DetailedError(isErrorCode(code) ? code : 'INTERNAL', text, details, typeof retryAfterMs === 'number' ? { retryAfterMs } : {});
}

/** What the subscriber of `client.send()` gets: what the filter of the server made of it, as with any Nest transport, else the error itself. */
export function fromWireError(error: unknown): unknown {
  return (isDiptychError(error) ? detailsOf(error) : undefined) ?? error;
}

function canCross(details: unknown): boolean {
  try {
    return details !== undefined && encode(details).byteLength <= DETAILS_BYTES_MAX;
  } catch {
    return false;
  }
}

const DETAILS_BYTES_MAX = 65_536;
