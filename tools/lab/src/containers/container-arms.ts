import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '@diptych/kernel';
import { cpuMsOfOwnAndEnded, freePort, type Profile } from '@diptych/testing';
import type { PartName } from '../dependency-table.js';
import type { StartArm } from '../running-arm.js';
import { docker } from '../scaling/container-engine.js';
import { untilGoodReply } from '../start-arm.js';
import { ContainerArm, type ArmQuota } from './container-arm.js';
import { Engine } from './engine.js';
import { EngineWork } from './engine-work.js';
import { limitVariables, type PanelName } from './limits.js';

/** By how docker-compose.yml names them: the service that is asked for, and the variable of its port. */
const EDGES: Readonly<Record<PanelName, { service: PartName; port: string }>> = {
  monolith: { service: 'monolith', port: 'MONOLITH_PORT' },
  services: { service: 'gateway', port: 'GATEWAY_PORT' },
};

/**
 * The arms in containers of docker-compose.yml, with the limits of `limits.ts`. What they use is what control groups say. End it with `await using`.
 */
export class Containers implements AsyncDisposable {
  /** Of what the images hold. */
  readonly versions: { readonly node: string; readonly nats: string };
  /** Of each container that was there until its arm was stopped. */
  readonly quotas: ArmQuota[] = [];
  readonly #engine: Engine;
  readonly #name: string;
  readonly #work = new EngineWork();
  #endedMs = 0;

  private constructor(engine: Engine, versions: Containers['versions'], name: string) {
    this.#engine = engine;
    this.#name = name;
    this.versions = versions;
  }

  /**
   * Builds the images.
   *
   * @param name what the names of its compose projects begin with
   * @throws Error when there is no engine, or they cannot be built
   */
  static async build(name = 'diptych-lab'): Promise<Containers> {
    const engine = await Engine.find();
    try {
      await docker(['compose', '--project-name', name, '--profile', 'monolith', 'build', '--quiet']);
      const node = await docker(['run', '--rm', '--network', 'none', 'diptych:local', 'node', '--version']);
      const nats = await docker(['run', '--rm', '--network', 'none', process.env['NATS_IMAGE'] || 'nats:2.10-alpine', '--version']);
      return new Containers(engine, { node: node.trim().replace(/^v/, ''), nats: nats.trim().replace(/^nats-server: v?/, '') }, name);
    } catch (error) {
      await engine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Processor time of the lab, of the engine, and of all containers that have ended: none of it is another program's. Undefined where it cannot be known. */
  get ownMs(): number | undefined {
    const labMs = cpuMsOfOwnAndEnded();
    return labMs === undefined ? undefined : labMs + this.#endedMs + this.#work.cpuMs;
  }

  /** On the system's cores. Each quota is also a line of `quotas.jsonl` in the directory of the run. */
  arms(profile: Profile, runDir: string): StartArm {
    return async (name, signal) => {
      signal.throwIfAborted();
      if (name === 'monolith-threads')
        throw new Error('monolith-threads has no container in docker-compose.yml; run it without --runtime docker');
      const { service, port } = EDGES[name];
      const number = await freePort();
      const project = `${this.#name}-${number}`;
      const variables = { ...limitVariables(name), [port]: String(number), SYSTEM_CPUSET: profile.system ?? '' };
      const compose = (args: readonly string[]) => docker(['compose', '--project-name', project, ...args], variables);
      const ended = (cpuMs: number) => {
        this.#endedMs += cpuMs;
        this.#work.look();
      };
      const down = () => compose(['--profile', 'monolith', 'down', '--volumes', '--timeout', '5']);
      const note = (quota: ArmQuota) => {
        this.quotas.push(quota);
        appendFileSync(join(runDir, 'quotas.jsonl'), `${JSON.stringify(quota)}\n`);
      };
      const startedMs = systemClock.nowMs();
      try {
        await compose(['up', '--detach', '--no-build', service]);
        const url = `http://127.0.0.1:${number}`;
        const arm = { name, url, firstGoodReplyMs: await untilGoodReply(url, startedMs, signal), project, note, ended };
        return await ContainerArm.of(this.#engine, arm, down);
      } catch (error) {
        await down();
        throw error;
      }
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#engine[Symbol.asyncDispose]();
  }
}
