import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { freePort, waitFor, WORKSPACE } from '@diptych/testing';
import { DockerComposeEnvironment, Wait } from 'testcontainers';
import { ARM_NAMES, leftovers, type ArmName, type PanelsAddress } from './panels.js';

const FILES = ['docker-compose.yml', 'e2e/containers/compose.faults.yml'] as const;

export interface PanelsEnvironment {
  readonly address: PanelsAddress;
  /** @throws Error naming the containers, networks and volumes that are still there afterwards */
  down(): Promise<void>;
}

export interface PanelsOptions {
  /** Default: all, of both panels. What they depend on is started too. */
  readonly services?: string[];
  /** Settings of docker-compose.yml. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Of the compose project. */
  readonly name?: string;
}

/**
 * Both panels of docker-compose.yml, with what the outage tests add to it, on free ports.
 *
 * @throws Error when the images cannot be built or a container does not become healthy; nothing is left then
 */
export async function startPanels(options: PanelsOptions = {}): Promise<PanelsEnvironment> {
  const ports: Record<ArmName | 'faults', number> = { monolith: await freePort(), services: await freePort(), faults: await freePort() };
  const project = options.name ?? `diptych-outages-${ports.services}`;
  const variables = {
    ...(process.env as Record<string, string>),
    MONOLITH_PORT: String(ports.monolith),
    GATEWAY_PORT: String(ports.services),
    FAULTS_PORT: String(ports.faults),
    // Small, so that the memory of a part can be eaten quickly.
    LOG_MEMORY: '256m',
    CACHE_MEMORY: '256m',
    MONOLITH_MEMORY: '256m',
    ...options.variables,
  };
  buildImages(variables);
  const environment = new DockerComposeEnvironment(WORKSPACE, [...FILES])
    .withProjectName(project)
    .withProfiles('monolith')
    .withEnvironment(variables)
    .withDefaultWaitStrategy(Wait.forHealthCheck());
  const beganMs = performance.now();
  const started = await environment.up(options.services);
  const upMs = performance.now() - beganMs;
  const recordDir = join(WORKSPACE, 'results/outages', new Date().toISOString().replaceAll(':', '-'));
  const address: PanelsAddress = {
    project,
    urls: Object.fromEntries(ARM_NAMES.map((arm) => [arm, `http://127.0.0.1:${ports[arm]}`])) as Record<ArmName, string>,
    controlUrl: `http://127.0.0.1:${ports.faults}`,
    recordDir,
    upMs,
  };
  return {
    address,
    async down() {
      await started.down({ removeVolumes: true, timeout: 5_000 });
      await waitFor(async () => (await leftovers(project)).length === 0, { what: 'nothing is left' }).catch(async () => {
        throw new Error(`left behind: ${(await leftovers(project)).join(', ')}`);
      });
    },
  };
}

/** Before the clock runs; what has not changed comes from the engine's cache. */
function buildImages(variables: Record<string, string>): void {
  const files = FILES.flatMap((file) => ['--file', file]);
  const { status, stderr, stdout } = spawnSync('docker', ['compose', ...files, '--profile', 'monolith', 'build'], {
    cwd: WORKSPACE,
    env: variables,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`the images were not built:\n${stdout}${stderr}`);
}
