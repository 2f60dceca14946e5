import { spawnSync } from 'node:child_process';
import { freePort, waitFor, WORKSPACE } from '@diptych/testing';
import { inject } from 'vitest';
import { leftovers } from './panels.js';

const PORTS = { monolith: 'MONOLITH_PORT', services: 'GATEWAY_PORT', balancer: 'BALANCER_PORT' } as const;

/** docker-compose.yml as a user has it, in a project and on ports of its own. End it with `await using`. */
export class Deployment implements AsyncDisposable {
  readonly project: string;
  readonly urls: Readonly<Record<keyof typeof PORTS, string>>;
  readonly #variables: Readonly<Record<string, string>>;

  private constructor(project: string, ports: Readonly<Record<keyof typeof PORTS, number>>, variables: Readonly<Record<string, string>>) {
    const names = Object.keys(PORTS) as Array<keyof typeof PORTS>;
    this.project = project;
    this.urls = Object.fromEntries(names.map((name) => [name, `http://127.0.0.1:${ports[name]}`])) as Record<keyof typeof PORTS, string>;
    this.#variables = { ...Object.fromEntries(names.map((name) => [PORTS[name], String(ports[name])])), ...variables };
  }

  /** Nothing runs yet. @param variables of docker-compose.yml */
  static async prepare(variables: Readonly<Record<string, string>> = {}): Promise<Deployment> {
    const ports = { monolith: await freePort(), services: await freePort(), balancer: await freePort() };
    return new Deployment(`${inject('panels').project}-profile-${ports.services}`, ports, variables);
  }

  /** Builds what is missing or has changed, and resolves when these services and what they need are healthy. @throws Error with what was written */
  up(services: readonly string[], ...options: readonly string[]): void {
    this.must('build', '--with-dependencies', ...services);
    this.must('up', '--detach', '--wait', ...options, ...services);
  }

  /** Runs `docker compose`. @returns what it wrote to stdout. @throws Error with all it wrote when it fails */
  must(...args: readonly string[]): string {
    const { status, stdout, stderr } = this.run(...args);
    if (status !== 0) throw new Error(`docker compose ${args.join(' ')}:\n${stdout}${stderr}`);
    return stdout;
  }

  run(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
    const env = { ...process.env, ...this.#variables };
    return spawnSync('docker', ['compose', '--project-name', this.project, ...args], { cwd: WORKSPACE, env, encoding: 'utf8' });
  }

  /** @throws Error with all it wrote when it fails */
  docker(...args: readonly string[]): void {
    const { status, stderr } = spawnSync('docker', args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`docker ${args.join(' ')}: ${stderr}`);
  }

  /** Asks a container of a service for a path of its own port. */
  ask(service: string, port: number, path: string, index = 1): string {
    const request = `exec 3<>/dev/tcp/127.0.0.1/${port}; printf 'GET ${path} HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3`;
    return this.must('exec', '--no-TTY', '--index', String(index), service, 'bash', '-c', request);
  }

  /** @throws Error naming what is still there afterwards */
  async [Symbol.asyncDispose](): Promise<void> {
    this.must('--profile', '*', 'down', '--volumes', '--timeout', '1', '--remove-orphans');
    await waitFor(async () => (await leftovers(this.project)).length === 0, { what: 'nothing is left', timeoutMs: 60_000 });
  }
}
