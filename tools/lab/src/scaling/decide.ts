/**
 * How many instances there should be: a pure function of what the instances export, of a policy, and of what was decided before. Whoever drives
 * it starts and drains processes, and keeps its answers as the record of why.
 *
 * It is target tracking as the Kubernetes HorizontalPodAutoscaler does it (kubernetes.io, "Horizontal Pod Autoscaling", algorithm details): for each
 * signal ceil(instances × mean / target), nothing within a tolerance of the target, the largest over all signals, one that is missing never
 * scales in. KEDA feeds other signals to that same function. From AWS Application Auto Scaling ("Target tracking scaling policies") comes that
 * capacity added by an earlier decision counts although it does not serve yet, and that scaling in wants a margin below the target.
 *
 * Beyond both: after a decision no opposite one within the stabilization window (the HPA alone can scale out right after it scaled in). Each
 * step only clamps or takes an extreme, so more load never asks for fewer instances.
 */
export function decide(policy: ScalingPolicy, before: ScalingState, fleet: FleetSignals, nowMs: number): Decided {
  const { serving, starting, absent } = fleet;
  const current = serving.length + starting + absent;
  const proposals = proposalsOf(policy, serving, current);
  const wanted = serving.length === 0 ? current : Math.max(policy.instancesMin, ...proposals.map(({ instances }) => instances));
  const bounded = clamp(wanted, policy.instancesMin, policy.instancesMax);
  const recent = [...before.recent.filter(({ atMs }) => atMs > nowMs - longest(policy)), { atMs: nowMs, instances: bounded }];
  const settled = stabilized(policy, recent, current, nowMs);
  const stepped = Math.min(settled, Math.max(Math.floor(current * policy.stepOutFactor), current + policy.stepOutMin));
  const bar = barOf(policy, before, fleet, stepped - current, nowMs);
  const to = clamp(bar === undefined ? stepped : current, policy.instancesMin, policy.instancesMax);
  const why = reasonOf({ policy, current, absent, proposals, bounded, settled, bar, to });
  const kind = to > current ? 'out' : to < current ? 'in' : 'none';
  return {
    decision: { kind, from: current, to, why, proposals, atMs: nowMs },
    state: { recent, ...lastsAfter(before, kind, nowMs) },
  };
}

export const SIGNALS = ['eventLoopUtilization', 'cpuShare', 'inFlight', 'queueingDelayMs', 'ratePerSecond'] as const;
export type SignalName = (typeof SIGNALS)[number];

/** What one instance says of itself since it was asked last; a signal it could not be asked is missing. */
export type InstanceSignals = Readonly<Partial<Record<SignalName, number>>>;

export interface FleetSignals {
  /** Of each instance that takes requests. */
  readonly serving: readonly InstanceSignals[];
  /** Have been started and do not take requests yet. */
  readonly starting: number;
  /**
   * Are to be there and take no requests: unhealthy, or lost and not started anew yet. What they say counts for nothing. They have a bounded time to come back or be replaced, so
   * like those that start they are on their way and not asked for twice; unlike them they may be taken away.
   */
  readonly absent: number;
}

export interface ScalingPolicy {
  readonly instancesMin: number;
  readonly instancesMax: number;
  /** The mean over instances that is aimed at; a signal without a target is not looked at. */
  readonly targets: Readonly<Partial<Record<SignalName, number>>>;
  /** By so much of the target a mean may lie above it without a scale-out. The HPA's is 0.1. */
  readonly tolerance: number;
  /** Scaling in is proposed only to so few instances as would be at most at this share of the target. AWS wants 0.9 before it looks at scaling in. */
  readonly inAtShareOfTarget: number;
  /** Scaling out by no more than what every proposal of this time agrees on (the HPA's default is 0: the newest alone). */
  readonly outWindowMs: number;
  /** Scaling in to no fewer than the largest proposal of this time, and no opposite decision within it. The HPA's is 300,000. */
  readonly windowMs: number;
  /** After scaling out, time before more of it: what was added has to show. */
  readonly coolDownOutMs: number;
  /** After scaling in, time before more of it. */
  readonly coolDownInMs: number;
  /** The HPA doubles at most, or adds 4, whichever is more. */
  readonly stepOutFactor: number;
  readonly stepOutMin: number;
}

/** What has to be remembered from one decision to the next. */
export interface ScalingState {
  readonly recent: ReadonlyArray<{ readonly atMs: number; readonly instances: number }>;
  readonly lastOutMs?: number | undefined;
  readonly lastInMs?: number | undefined;
}

export const NOTHING_DECIDED: ScalingState = { recent: [] };

export interface Proposal {
  readonly signal: SignalName;
  /** Over the instances that said it; undefined: none did. */
  readonly mean: number | undefined;
  readonly target: number;
  readonly instances: number;
}

export interface Decision {
  readonly kind: 'out' | 'in' | 'none';
  readonly from: number;
  readonly to: number;
  /** In one sentence. */
  readonly why: string;
  readonly proposals: readonly Proposal[];
  readonly atMs: number;
}

export interface Decided {
  readonly decision: Decision;
  readonly state: ScalingState;
}

/** An instance that does not say counts as at its target when there might be too many, and as idle when there might be too few: the HPA's careful side. */
function proposalsOf(policy: ScalingPolicy, serving: readonly InstanceSignals[], current: number): Proposal[] {
  return SIGNALS.flatMap((signal): Proposal[] => {
    const target = policy.targets[signal];
    if (target === undefined) return [];
    const said = serving.flatMap((instance) => instance[signal] ?? []);
    const sum = said.reduce((all, value) => all + value, 0);
    const missing = serving.length - said.length;
    const mean = said.length === 0 ? undefined : sum / said.length;
    return [{ signal, mean, target, instances: proposed(policy, sum, missing, target, current) }];
  });
}

function proposed(policy: ScalingPolicy, sum: number, missing: number, target: number, current: number): number {
  // Those that are starting or absent are part of `current` and carry nothing yet: what is on its way is not asked for twice.
  if (sum > current * target * (1 + policy.tolerance)) return Math.ceil(sum / target);
  return Math.min(current, Math.max(1, Math.ceil((sum + missing * target) / (target * policy.inAtShareOfTarget))));
}

/** Out only by what the whole of the short window agrees on, in only to what nothing of the long one contradicts. */
function stabilized(policy: ScalingPolicy, recent: ScalingState['recent'], current: number, nowMs: number): number {
  const since = (ms: number) => recent.filter(({ atMs }) => atMs > nowMs - ms || atMs === nowMs).map(({ instances }) => instances);
  const outTo = Math.min(...since(policy.outWindowMs));
  const inTo = Math.max(...since(policy.windowMs));
  return Math.max(Math.min(current, inTo), outTo);
}

/** @returns why the direction is barred at this time, if it is */
function barOf(
  policy: ScalingPolicy,
  { lastOutMs, lastInMs }: ScalingState,
  { starting }: FleetSignals,
  direction: number,
  nowMs: number,
): string | undefined {
  const within = (atMs: number | undefined, ms: number) => atMs !== undefined && nowMs - atMs < ms;
  if (direction > 0 && within(lastInMs, policy.windowMs)) return 'it scaled in within the stabilization window';
  if (direction > 0 && within(lastOutMs, policy.coolDownOutMs)) return 'it is cooling down from scaling out';
  // Those that serve would go, and what starts may not come.
  if (direction < 0 && starting > 0) return 'some are starting';
  if (direction < 0 && within(lastOutMs, policy.windowMs)) return 'it scaled out within the stabilization window';
  if (direction < 0 && within(lastInMs, policy.coolDownInMs)) return 'it is cooling down from scaling in';
  return undefined;
}

function lastsAfter({ lastOutMs, lastInMs }: ScalingState, kind: Decision['kind'], nowMs: number): Omit<ScalingState, 'recent'> {
  return { lastOutMs: kind === 'out' ? nowMs : lastOutMs, lastInMs: kind === 'in' ? nowMs : lastInMs };
}

interface Thoughts {
  readonly policy: ScalingPolicy;
  readonly current: number;
  readonly absent: number;
  readonly proposals: readonly Proposal[];
  readonly bounded: number;
  readonly settled: number;
  readonly bar: string | undefined;
  readonly to: number;
}

function reasonOf({ policy, current, absent, proposals, bounded, settled, bar, to }: Thoughts): string {
  const said = proposals.map(({ signal, mean, target, instances }) => `${signal} ${shown(mean)} of ${shown(target)} asks for ${instances}`);
  const signals = `${said.length === 0 ? 'no signal has a target' : said.join(', ')}${absent > 0 ? `; ${absent} absent` : ''}`;
  const bounds = bounded === policy.instancesMax ? ' (the maximum)' : bounded === policy.instancesMin ? ' (the minimum)' : '';
  if (to !== current) return `${signals}: ${current} to ${to}${bounded === to ? bounds : `, on the way to ${bounded}`}`;
  if (bounded === current) return `${signals}: ${current} it stays${bounds}`;
  if (bar !== undefined) return `${signals}: ${current} for now, as ${bar}`;
  return `${signals}: ${current} for now, as the last ${settled < bounded ? policy.outWindowMs : policy.windowMs} ms do not agree on ${bounded}`;
}

function shown(value: number | undefined): string {
  return value === undefined ? 'unknown' : String(Number(value.toPrecision(3)));
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value));
}

function longest({ outWindowMs, windowMs }: ScalingPolicy): number {
  return Math.max(outWindowMs, windowMs);
}
