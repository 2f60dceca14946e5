import { GATES } from '../gates.js';
import { COMING_AND_GOING, COMING_AND_GOING_SECONDS, comingAndGoing } from './coming-and-going.js';
import { comingAndGoingExperiment } from './coming-and-going-report.js';
import { ELASTICITY, ELASTICITY_SECONDS, elasticity } from './elasticity.js';
import { elasticityExperiment } from './elasticity-report.js';
import { SCALE_OUT, SCALE_OUT_SECONDS, scaleOut } from './scale-out.js';
import { scaleOutExperiment } from './scale-out-report.js';
import { runScaling, type ScalingExperiment, type ScalingOptions } from './scaling-lab.js';

/** What `npm run lab -- run <name>` runs. */
export const EXPERIMENTS: Readonly<Record<string, (options: ScalingOptions) => Promise<number>>> = {
  'scale-out': running({
    plan: SCALE_OUT,
    secondsABlock: SCALE_OUT_SECONDS,
    disturbedShareMax: GATES.voidShareMax,
    runtimes: ['process', 'docker'],
    measure: scaleOut,
    describe: scaleOutExperiment,
  }),
  elasticity: running({
    plan: ELASTICITY,
    secondsABlock: ELASTICITY_SECONDS,
    disturbedShareMax: GATES.voidShareMax,
    runtimes: ['process', 'docker'],
    measure: elasticity,
    describe: elasticityExperiment,
  }),
  'coming-and-going': running({
    plan: COMING_AND_GOING,
    secondsABlock: COMING_AND_GOING_SECONDS,
    // Each is of another cause, and there is one of each.
    disturbedShareMax: 0,
    runtimes: ['process'],
    measure: comingAndGoing,
    describe: comingAndGoingExperiment,
  }),
};

function running<Measured>(experiment: ScalingExperiment<Measured>) {
  return (options: ScalingOptions) => runScaling(experiment, options);
}
