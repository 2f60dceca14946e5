/**
 * When an instance is replaced about which nothing was decided: pure functions of what was seen of it.
 *
 * Who is well is the balancer's to say, as an EC2 Auto Scaling group takes it from its load balancer; a newcomer has a grace before it counts, as
 * that group's health check grace period and Kubernetes' start-up probe give it. The longer and longer wait before the next of those that do not last,
 * up to a cap and forgotten when they last, is the kubelet's for containers (10 s to 300 s, forgotten after 600 s; kubernetes.io, "Pod Lifecycle").
 * Without jitter: nobody else is there to be in step with.
 */
export interface ReplacementPolicy {
  /** For so long after it came to serve, one that the balancer's checks do not reach is still starting. */
  readonly startGraceMs: number;
  /** For so long one is unhealthy before it is replaced. */
  readonly unhealthyGraceMs: number;
  /** Who served for less than this did not last. When all that are to be have, earlier failures are forgotten. */
  readonly servedWellMs: number;
  /** Before the next after one that did not last; twice as long after each that does not last either. */
  readonly backOffMs: number;
  readonly backOffMsMax: number;
}

/** What was seen of an instance. Monotonic milliseconds, each. */
export interface Watched {
  /** When its start began. */
  readonly startedMs: number;
  /** When it came to serve. */
  readonly cameMs: number;
  /** Since when the balancer's checks do not reach it; undefined: they do. */
  readonly downSinceMs?: number | undefined;
}

/** What it has been since before anybody watched. */
export const ALWAYS_THERE: Watched = { startedMs: -Infinity, cameMs: -Infinity };

/** @param before undefined: it is seen for the first time */
export function seen(before: Watched | undefined, isDown: boolean, nowMs: number): Watched {
  const { startedMs, cameMs, downSinceMs } = before ?? { startedMs: nowMs, cameMs: nowMs };
  return { startedMs, cameMs, downSinceMs: isDown ? (downSinceMs ?? nowMs) : undefined };
}

export type Health = 'serving' | 'starting' | 'unhealthy';

export function healthOf(policy: ReplacementPolicy, watched: Watched, nowMs: number): Health {
  if (watched.downSinceMs === undefined) return 'serving';
  return unhealthyMsOf(policy, watched, nowMs) < 0 ? 'starting' : 'unhealthy';
}

/** Whether the grace of one that is unhealthy is over. */
export function isToBeReplaced(policy: ReplacementPolicy, watched: Watched, nowMs: number): boolean {
  return watched.downSinceMs !== undefined && unhealthyMsOf(policy, watched, nowMs) >= policy.unhealthyGraceMs;
}

/** Of one that the checks do not reach. Less than 0: its start grace is not over. */
function unhealthyMsOf({ startGraceMs }: ReplacementPolicy, { cameMs, downSinceMs = Infinity }: Watched, nowMs: number): number {
  return nowMs - Math.max(downSinceMs, cameMs + startGraceMs);
}

export interface BackOff {
  /** Generations in a row of which one did not last. */
  readonly failures: number;
  /** When the last of them was known. */
  readonly failedMs: number;
  /** Nothing lost is started anew before. */
  readonly untilMs: number;
}

export const NO_BACK_OFF: BackOff = { failures: 0, failedMs: -Infinity, untilMs: -Infinity };

/** After the loss of an instance. Those that were started before the last failure was known are of its generation, and say nothing new. */
export function backOffAfter(policy: ReplacementPolicy, before: BackOff, lost: Watched, nowMs: number): BackOff {
  const servedMs = (lost.downSinceMs ?? nowMs) - lost.cameMs;
  if (servedMs >= policy.servedWellMs || lost.startedMs < before.failedMs) return before;
  const failures = before.failures + 1;
  return { failures, failedMs: nowMs, untilMs: nowMs + Math.min(policy.backOffMsMax, policy.backOffMs * 2 ** (failures - 1)) };
}

/** Whether all of these have served well for long enough. */
export function haveLasted({ servedWellMs }: ReplacementPolicy, all: Iterable<Watched>, nowMs: number): boolean {
  return [...all].every(({ cameMs, downSinceMs }) => downSinceMs === undefined && nowMs - cameMs >= servedWellMs);
}
