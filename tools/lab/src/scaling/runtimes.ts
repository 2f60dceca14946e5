import { assertBroker } from '../manifest.js';
import { whyNoBalancer } from './balancer.js';
import { projectName, removeProjectsOfDeadLabs } from './compose-project.js';
import { docker, whyNoEngine } from './container-engine.js';
import { buildImages, ContainerFleet } from './container-fleet.js';
import { removeGroupsOfDeadLabs, whyNoQuota } from './cpu-quota.js';
import type { StartFleet } from './fleet.js';
import { ProcessFleet } from './process-fleet.js';

/** What instances run in. */
export type RuntimeName = 'process' | 'docker';

export interface Runtime {
  /** How instances are held to their quotas, for the report. */
  readonly words: string;
  readonly startFleet: StartFleet;
}

function noted(sentences: readonly string[]): void {
  for (const sentence of sentences) process.stderr.write(`${sentence}\n`);
}

/** Makes ready what fleets run in. @throws Error with one sentence that says what is missing here */
export const RUNTIMES: Readonly<Record<RuntimeName, () => Promise<Runtime>>> = {
  process: async () => {
    assertBroker();
    const whyNot = whyNoBalancer() ?? (await whyNoQuota());
    if (whyNot !== undefined) throw new Error(whyNot);
    noted(await removeGroupsOfDeadLabs());
    return {
      words: 'each instance held to its quota by a control group',
      startFleet: (arm, counts) => ProcessFleet.start(arm, counts),
    };
  },
  docker: async () => {
    const whyNot = await whyNoEngine();
    if (whyNot !== undefined) throw new Error(whyNot);
    noted(await removeProjectsOfDeadLabs(docker));
    await buildImages();
    let number = 0;
    return {
      words: 'each instance a container, held to its quota by a limit of Docker Compose',
      startFleet: (arm, counts) => ContainerFleet.start(arm, counts, { project: projectName(++number) }),
    };
  },
};
