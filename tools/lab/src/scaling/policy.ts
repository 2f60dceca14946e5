import type { ScalingPolicy } from './decide.js';

/**
 * The policy of the elasticity runs. Its shape is the HPA's; its times are shorter, so that a ramp, a spike and an ebb fit into one run: signals every
 * second instead of every 15, a window of 15 s instead of 300. A mean over one second is noisier than theirs over 15 and more, so the tolerance is 0.2 and
 * four readings in a row have to agree before it scales out.
 *
 * 0.6 of an event loop leaves room for what a second's mean hides. A loop that is full says 1 however much more there is to do, so it asks for two thirds
 * more at a time; a turn that comes 10 ms late on average, and 32 calls under way in one instance, say how far beyond it is. In trials idle loops were 1 to 5 ms late and full ones 10 to 50.
 * Behind the balancer, under way is what the balancer has given it: what waits for a full instance waits before it.
 *
 * 0.8 of its CPU, as the HPA's default: a loop that is held to a quarter of a core stands still for most of a period, and is not busy meanwhile. A cache that used three quarters of its quota had a loop busy for a third of the
 * time, and every burst, as of collecting garbage, kept it for a quarter of a second. A request costs more the fewer there are at once (183 µs at 1,300 reads a second of
 * one gateway, 63 µs at 3,950): with 0.6, one that had 0.4 of what it could do asked for a second one, and four gateways that each used 0.46 at the ebb asked for four.
 *
 * Three seconds after scaling out, more of it may be decided: instances that are starting count as there, so what is on its way is not asked for twice, and
 * with six the rest of what was needed came so late that it took 11 s to be back at the objective.
 */
export const ELASTIC: ScalingPolicy = {
  instancesMin: 1,
  instancesMax: 4,
  targets: { eventLoopUtilization: 0.6, cpuShare: 0.8, inFlight: 32, queueingDelayMs: 10 },
  tolerance: 0.2,
  inAtShareOfTarget: 0.8,
  outWindowMs: 4_000,
  windowMs: 15_000,
  coolDownOutMs: 3_000,
  coolDownInMs: 8_000,
  stepOutFactor: 2,
  stepOutMin: 4,
};

/** How often the instances are asked. */
export const SIGNALS_EVERY_MS = 1_000;
