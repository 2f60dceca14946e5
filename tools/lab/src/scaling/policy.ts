import type { ScalingPolicy } from './decide.js';
import type { ReplacementPolicy } from './replacement.js';

/**
 * The policy of the elasticity runs. Its shape is the HPA's; its times are shorter, so that a ramp, a spike and an ebb fit into one run: signals every
 * second instead of every 15, a window of 15 s instead of 300. A mean over one second is noisier than theirs over 15 and more, so the tolerance is 0.2 and
 * four readings in a row have to agree before it scales out.
 *
 * Half of an event loop, since a loop that is held to a quarter of a core stands still for most of a period and is not busy meanwhile: one gateway's was busy for 0.30 to 0.45 of the time at 0.4 of what it could do, and
 * for 0.67 to 0.90 at 1.4. A loop that is full says 1 however much more there is to do, so it asks for twice as many at a time; a turn that comes 10 ms late on average, and 32 calls under way in one instance, say how far beyond it
 * is. In trials idle loops were 1 to 5 ms late and full ones 10 to 50. Behind the balancer, under way is what the balancer has given it: what waits for a full instance waits before it.
 *
 * CPU is kept in the record and has no target: the more there is to do, the more of it is done at once and the less a call costs (183 µs at 1,300 reads a second, 63 µs at 3,950), so that gateway used 0.91 to 1.00 of its quota
 * at 0.4 and 0.97 to 1.01 at 1.4. A target of 0.6 had a second instance started at 0.4 and four at 1.4, and gave none back when it ebbed.
 *
 * Three seconds after scaling out, more of it may be decided: instances that are starting count as there, so what is on its way is not asked for twice, and
 * with six the rest of what was needed came so late that it took 11 s to be back at the objective.
 */
export const ELASTIC: ScalingPolicy = {
  instancesMin: 1,
  instancesMax: 4,
  targets: { eventLoopUtilization: 0.5, inFlight: 32, queueingDelayMs: 10 },
  tolerance: 0.2,
  inAtShareOfTarget: 0.8,
  outWindowMs: 4_000,
  windowMs: 15_000,
  coolDownOutMs: 3_000,
  coolDownInMs: 8_000,
  stepOutFactor: 2,
  stepOutMin: 4,
};

/**
 * Shorter than its models' as the other times are. Ten seconds without a check that passes are some twenty checks, of which two make the balancer call an instance down: neither a
 * collection nor a second without CPU lasts as long. Whoever never gets well after it came has served for nothing, and is killed 20 s after that; only who served for longer has lasted.
 */
export const REPLACEMENT: ReplacementPolicy = {
  startGraceMs: 10_000,
  unhealthyGraceMs: 10_000,
  servedWellMs: 30_000,
  backOffMs: 1_000,
  backOffMsMax: 30_000,
};

/** How often the instances are asked. */
export const SIGNALS_EVERY_MS = 1_000;

/** Within this the balancer has said how it sees them, or it is not known this time. Two turns: the windows of the policy have others to go by. */
export const LOOK_MS_MAX = 2_000;
