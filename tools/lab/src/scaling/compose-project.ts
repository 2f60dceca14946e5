import { DiptychError } from '@diptych/kernel';
import type { Docker } from './container-engine.js';
import { isDead, leftBehind, markIn, ownMark, written } from './lab-mark.js';

/** What is needed of `docker inspect`. */
export interface Container {
  readonly Id: string;
  readonly Name: string;
  readonly State: { readonly ExitCode: number; readonly Pid: number };
  readonly NetworkSettings: { readonly Networks: Readonly<Record<string, { readonly IPAddress: string }>> };
}

const FILES = ['--file', 'docker-compose.yml', '--file', 'tools/lab/compose.scaling.yml'];
const PROFILES = ['--profile', 'replicas', '--profile', 'scaling'];
/** As `stop_grace_period` has it; a part ends by itself before. */
const STOP_SECONDS = 30;

const PREFIX = 'diptych-scaling-';

/** Unique on the engine, and says whose it is. */
export function projectName(number: number): string {
  return `${PREFIX}${written(ownMark())}-${number}`;
}

/** Removes the containers, networks and volumes of labs that were killed; of those that live, and of anybody else, nothing. Safe to repeat. @returns what is left, in sentences */
export async function removeProjectsOfDeadLabs(docker: Docker): Promise<string[]> {
  const left: string[] = [];
  const listed = JSON.parse(await docker(['compose', 'ls', '--all', '--format', 'json'])) as ReadonlyArray<{ readonly Name: string }>;
  for (const { Name } of listed) {
    const mark = markIn(Name, PREFIX);
    if (mark && isDead(mark))
      await docker(['compose', '--project-name', Name, 'down', '--volumes', '--timeout', '5']).catch(
        (error: unknown) => void left.push(leftBehind(Name, error)),
      );
  }
  return left;
}

/**
 * Services of Docker Compose whose containers come and go one by one. Compose starts whatever there is too little of, and so must not look while a container is
 * stopped and not yet removed: changes are made one after the other.
 */
export class ComposeProject {
  readonly #name: string;
  readonly #variables: Readonly<Record<string, string>>;
  readonly #docker: Docker;
  /** Containers that were told of, so that a new one is known as new. */
  readonly #known = new Set<string>();
  #changes: Promise<unknown> = Promise.resolve();

  /** @param name unique on the engine; @param variables what the files of compose ask for */
  constructor(name: string, variables: Readonly<Record<string, string>>, docker: Docker) {
    this.#name = name;
    this.#variables = variables;
    this.#docker = docker;
  }

  /** Starts services, and of some of them so many containers. */
  up(services: readonly string[], counts: ReadonlyMap<string, number>): Promise<void> {
    return this.#alone(() => this.#up(services, counts, []));
  }

  /** Starts one more of a service. @throws INTERNAL when there is none then */
  async addTo(service: string): Promise<Container> {
    const [added] = await this.#alone(async () => {
      const { length } = await this.#containersOf(service);
      try {
        await this.#up([service], new Map([[service, length + 1]]), ['--no-deps', '--no-recreate']);
        return await this.newOf(service);
      } catch (error) {
        // Compose may have made one and failed all the same: nobody would know of it.
        for (const { Id } of await this.newOf(service).catch(() => []))
          await this.#docker(['rm', '--force', '--volumes', Id]).catch(() => undefined);
        throw error;
      }
    });
    if (!added) throw new DiptychError('INTERNAL', `compose was asked for one more ${service}, and there is none`);
    return added;
  }

  /** Tells a container to stop, and removes it and its volume. @returns its exit code */
  end(id: string): Promise<number> {
    return this.#alone(async () => {
      await this.#docker(['stop', '--time', String(STOP_SECONDS), id]);
      const [ended] = await this.#inspect([id]);
      await this.#docker(['rm', '--volumes', id]);
      return ended!.State.ExitCode;
    });
  }

  /** Removes a container and its volume at once, whatever it does. */
  async kill(id: string): Promise<void> {
    await this.#alone(() => this.#docker(['rm', '--force', '--volumes', id]));
  }

  /** Those of a service that were not told of before, by the numbers that compose gave them. */
  async newOf(service: string): Promise<Container[]> {
    const fresh = (await this.#containersOf(service)).filter(({ Id }) => !this.#known.has(Id));
    for (const { Id } of fresh) this.#known.add(Id);
    const number = ({ Name }: Container) => Number(/\d+$/.exec(Name)?.[0]);
    return fresh.sort((a, b) => number(a) - number(b));
  }

  /** As the service names it: `cache-2`. */
  shortNameOf({ Name }: Container): string {
    return Name.slice(`/${this.#name}-`.length);
  }

  /** Ends and removes all there is, volumes too. */
  async down(): Promise<void> {
    await this.#alone(() => this.#compose([...PROFILES, 'down', '--volumes', '--timeout', '5']));
  }

  async #up(services: readonly string[], counts: ReadonlyMap<string, number>, options: readonly string[]): Promise<void> {
    const scales = [...counts].flatMap(([service, count]) => ['--scale', `${service}=${count}`]);
    await this.#compose(['up', '--detach', '--no-build', ...options, ...scales, ...services]);
  }

  async #containersOf(service: string): Promise<Container[]> {
    const labels = [`com.docker.compose.project=${this.#name}`, `com.docker.compose.service=${service}`];
    const filters = labels.flatMap((label) => ['--filter', `label=${label}`]);
    const listed = await this.#docker(['ps', '--all', '--quiet', '--no-trunc', ...filters]);
    return this.#inspect(listed.split(/\s+/).filter((id) => id !== ''));
  }

  async #inspect(ids: readonly string[]): Promise<Container[]> {
    return ids.length === 0 ? [] : (JSON.parse(await this.#docker(['inspect', ...ids])) as Container[]);
  }

  #compose(args: readonly string[]): Promise<string> {
    return this.#docker(['compose', ...FILES, '--project-name', this.#name, ...args], this.#variables);
  }

  #alone<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#changes.then(change);
    this.#changes = done.catch(() => undefined);
    return done;
  }
}
