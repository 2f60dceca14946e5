import { problem, type Problem } from '@diptych/host';
import { DiptychError, ERROR_TABLE, type ErrorCode } from '@diptych/kernel';

/** A refusal of the edge itself, with a narrower status than its code has by the table. */
export class Refusal extends DiptychError {
  readonly status: number;
  /** Names and values in turn. */
  readonly headers: readonly string[];

  constructor(status: number, code: ErrorCode, message: string, headers: readonly string[] = [], options?: { definite?: boolean }) {
    super(code, message, options);
    this.status = status;
    this.headers = headers;
  }
}

/** No path of this server. */
export function noSuchRoute(path: string): Refusal {
  return new Refusal(404, 'INVALID_REQUEST', `there is nothing at ${shorten(path)}; GET /openapi.json lists what there is`);
}

export function noSuchMethod(method: string, allow: readonly string[]): Refusal {
  return new Refusal(405, 'INVALID_REQUEST', `${method} is not possible here; possible: ${allow.join(', ')}`, ['Allow', allow.join(', ')]);
}

export function statusOf(error: DiptychError): number {
  return error instanceof Refusal ? error.status : ERROR_TABLE[error.code].httpStatus;
}

export function problemOf(error: DiptychError): Problem {
  return problem(statusOf(error), error.code, error.message, error.definite);
}

/** The headers that belong to an error, names and values in turn. */
export function problemHeaders(error: DiptychError): string[] {
  const headers = error instanceof Refusal ? [...error.headers] : [];
  const status = statusOf(error);
  if (status === 503) headers.push('Retry-After', String(Math.max(1, Math.ceil((error.retryAfterMs ?? 1_000) / 1_000))));
  if (status === 401) headers.push('WWW-Authenticate', 'Bearer realm="diptych"');
  return headers;
}

function shorten(path: string): string {
  return path.length <= 80 ? path : `${path.slice(0, 77)}...`;
}
