/** The guards of one method, to be read at any time. */
export interface WatchedGuards {
  readonly caller: string;
  readonly port: string;
  readonly method: string;
  readonly retry?: { readonly repeats: number; readonly repeatsDenied: number } | undefined;
  /** One for all methods of a port. */
  readonly budget?: { readonly left: number } | undefined;
  readonly breaker?: { readonly state: CircuitName; readonly openings: number; readonly refusals: number } | undefined;
  readonly bulkhead?: { readonly inFlight: number; readonly queued: number; readonly refusals: number } | undefined;
  readonly shedder?: { readonly inFlight: number; readonly refusals: number } | undefined;
}

export type CircuitName = 'closed' | 'half-open' | 'open';

/** Hears of guards as they are made. */
export interface GuardWatch {
  add(guards: WatchedGuards): void;
}
