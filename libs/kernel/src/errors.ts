/**
 * The one error table of the system. Codes cross the wire, classes do not; `docs/reference/errors.md` prints this table
 * and a test holds the two against each other.
 *
 * *Definite* means: the operation did not happen and will not happen. When in doubt a code is indefinite.
 */
export const ERROR_TABLE = {
  INVALID_REQUEST: {
    httpStatus: 400,
    definite: true,
    retry: 'never',
    meaning: 'the request breaks the contract; sending it again cannot help',
  },
  UNAUTHENTICATED: { httpStatus: 401, definite: true, retry: 'never', meaning: 'no credentials, or unknown ones' },
  PERMISSION_DENIED: { httpStatus: 403, definite: true, retry: 'never', meaning: 'the credentials do not allow this' },
  NOT_FOUND: { httpStatus: 404, definite: true, retry: 'never', meaning: 'there is no such entry' },
  CONFLICT: { httpStatus: 412, definite: true, retry: 'never', meaning: 'the condition of the request does not hold' },
  TOO_LARGE: { httpStatus: 413, definite: true, retry: 'never', meaning: 'a key, value or message is over its bound' },
  STORAGE_FULL: {
    httpStatus: 507,
    definite: true,
    retry: 'never',
    meaning: 'no space left; raised only after the partial write is cut off and synced',
  },
  OVERLOADED: { httpStatus: 503, definite: true, retry: 'backoff', meaning: 'a bounded queue or in-flight limit is full' },
  CIRCUIT_OPEN: { httpStatus: 503, definite: true, retry: 'backoff', meaning: 'the breaker in front of the part is open' },
  UNAVAILABLE: { httpStatus: 503, definite: true, retry: 'backoff', meaning: 'the part cannot be reached; nothing was sent' },
  DEADLINE_EXCEEDED: { httpStatus: 504, definite: false, retry: 'if-safe', meaning: 'no answer in time; the operation may have happened' },
  CONNECTION_LOST: { httpStatus: 502, definite: false, retry: 'if-safe', meaning: 'the connection broke after the request was sent' },
  CANCELLED: { httpStatus: 499, definite: false, retry: 'never', meaning: 'the caller gave up; definite only when nothing was sent' },
  INTERNAL: { httpStatus: 500, definite: false, retry: 'never', meaning: 'a defect of the system' },
} as const satisfies Record<string, ErrorRow>;

export interface ErrorRow {
  /** The HTTP status the gateway answers with, unless a narrower one fits (404 route, 405, 408, 415). */
  readonly httpStatus: number;
  /** Whether the code alone promises that the operation did not and will not happen. */
  readonly definite: boolean;
  /** `backoff`: repeat within the retry budget; `if-safe`: only when the operation is safe to repeat. */
  readonly retry: 'never' | 'backoff' | 'if-safe';
  readonly meaning: string;
}

export type ErrorCode = keyof typeof ERROR_TABLE;

const BRAND = Symbol.for('diptych.error');

/**
 * An error a caller is meant to see. `definite` may be raised per error above what the table says of its code
 * (a CANCELLED before sending, for example), never lowered below it. `cause` stays on this side of the wire.
 */
export class DiptychError extends Error {
  readonly code: ErrorCode;
  readonly definite: boolean;
  readonly retryAfterMs: number | undefined;
  /**
   * The port whose failure this is. Set once, by the guard right in front of it, and kept by everybody who passes the error on: so a
   * caller can tell a part that fails from one that says that a part behind it does.
   */
  part: string | undefined;
  readonly [BRAND] = true;

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; definite?: boolean; retryAfterMs?: number; part?: string | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DiptychError';
    this.code = code;
    this.definite = ERROR_TABLE[code].definite || options.definite === true;
    this.retryAfterMs = options.retryAfterMs;
    this.part = options.part;
  }
}

/** Works across duplicate copies of this package, which `instanceof` does not. */
export function isDiptychError(error: unknown): error is DiptychError {
  return typeof error === 'object' && error !== null && (error as { [BRAND]?: unknown })[BRAND] === true;
}

export function hasCode(error: unknown, ...codes: ErrorCode[]): error is DiptychError {
  return isDiptychError(error) && codes.includes(error.code);
}

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERROR_TABLE, code);
}

/** The given error if it is ours, else INTERNAL with the given error as its cause. */
export function toDiptychError(error: unknown): DiptychError {
  if (isDiptychError(error)) return error;
  return new DiptychError('INTERNAL', 'internal error', { cause: error });
}
