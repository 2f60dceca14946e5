import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { freePort, waitFor, WORKSPACE } from '@diptych/testing';
import { DockerComposeEnvironment, Wait } from 'testcontainers';
import { ARM_NAMES, compose, COMPOSE_FILES, leftovers, namelessImages, type ArmName, type PanelsAddress } from './panels.js';

export interface PanelsEnvironment {
  readonly address: PanelsAddress;
  /** @throws Error naming the containers, networks, volumes and replaced images that are still there afterwards */
  down(): Promise<void>;
}

export interface PanelsOptions {
  /** Default: all, of both panels. What they depend on is started too. */
  readonly services?: string[];
  /** Settings of docker-compose.yml. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Of the compose project. */
  readonly name?: string;
  /** Default: true. What has not changed comes from the engine's cache, which takes seconds all the same. */
  readonly build?: boolean;
}

/** A build leaves what it replaces behind without a name: only those of this repository's images, which bear its label. */
function removeReplacedImages(): void {
  spawnSync('docker', ['image', 'prune', '--force', '--filter', 'label=diptych']);
}

/**
 * Both panels of docker-compose.yml, with what the outage tests add to it, on free ports.
 *
 * @throws Error when the images cannot be built or a container does not become healthy; nothing is left then
 */
export async function startPanels(options: PanelsOptions = {}): Promise<PanelsEnvironment> {
  const ports: Record<ArmName | 'cluster' | 'faults', number> = {
    monolith: await freePort(),
    services: await freePort(),
    cluster: await freePort(),
    faults: await freePort(),
  };
  const project = options.name ?? `diptych-outages-${ports.services}`;
  const variables: Record<string, string> = {
    MONOLITH_PORT: String(ports.monolith),
    GATEWAY_PORT: String(ports.services),
    CLUSTER_PORT: String(ports.cluster),
    // Of digits alone: it has to stay a text all the way to the brokers.
    NATS_CLUSTER_SECRET: String(randomInt(1e9, 1e10)),
    FAULTS_PORT: String(ports.faults),
    // Small, so that the memory of a part can be eaten quickly.
    LOG_MEMORY: '256m',
    CACHE_MEMORY: '256m',
    MONOLITH_MEMORY: '256m',
    ...options.variables,
  };
  // Before the clock runs.
  if (options.build ?? true) compose(['--profile', '*', 'build'], variables);
  const environment = new DockerComposeEnvironment(WORKSPACE, [...COMPOSE_FILES])
    .withProjectName(project)
    .withProfiles('monolith')
    .withEnvironment({ ...(process.env as Record<string, string>), ...variables })
    .withDefaultWaitStrategy(Wait.forHealthCheck());
  // An interrupt ends the runner without asking anybody to clean up.
  const end = (timeout: number) => {
    compose(
      ['--project-name', project, '--profile', '*', 'down', '--volumes', '--remove-orphans', '--timeout', String(timeout)],
      variables,
    );
    removeReplacedImages();
  };
  const downAtExit = () => end(0);
  const interrupted = () => process.exit(130);
  const forget = () => process.off('exit', downAtExit).off('SIGINT', interrupted).off('SIGTERM', interrupted);
  process.once('exit', downAtExit).once('SIGINT', interrupted).once('SIGTERM', interrupted);
  const beganMs = performance.now();
  await environment.up(options.services).catch((error: unknown) => {
    forget();
    throw error;
  });
  const upMs = performance.now() - beganMs;
  const recordDir = join(WORKSPACE, 'results/outages', new Date().toISOString().replaceAll(':', '-'));
  const address: PanelsAddress = {
    project,
    urls: Object.fromEntries(
      [...ARM_NAMES, 'cluster' as const].map((arm) => [arm, `http://127.0.0.1:${ports[arm]}`]),
    ) as PanelsAddress['urls'],
    controlUrl: `http://127.0.0.1:${ports.faults}`,
    recordDir,
    upMs,
    variables,
  };
  return {
    address,
    async down() {
      forget();
      end(5);
      const left = async () => [...(await leftovers(project)), ...(await namelessImages())];
      await waitFor(async () => (await left()).length === 0, { what: 'nothing is left' }).catch(async () => {
        throw new Error(`left behind: ${(await left()).join(', ')}`);
      });
    },
  };
}
