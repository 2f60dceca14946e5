import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NatsServer } from '@diptych/testing';
import { startNatsServer, tempDir, waitFor } from '@diptych/testing';
import type { NatsLink, NatsOptions } from '../src/index.js';
import { connectNats } from '../src/index.js';
import { Probe, probePort, type ProbePort } from './probe-port.js';

/** A broker of one test, the links to it, and what they reported. Ends with the test. */
export class Rig implements AsyncDisposable {
  readonly faults: string[] = [];
  readonly links: NatsLink[] = [];
  readonly #ends = new AsyncDisposableStack();

  private constructor(readonly broker: NatsServer) {}

  /** @param options.config of the broker; it can be written anew for the next start */
  static async start({ config }: { config?: string } = {}): Promise<Rig & { configure(config: string): Promise<void> }> {
    const dir = await tempDir();
    const path = join(dir.path, 'nats.conf');
    const configure = (text: string) => writeFile(path, text);
    if (config !== undefined) await configure(config);
    const broker = await startNatsServer({ args: config === undefined ? [] : ['-c', path] });
    const rig = new Rig(broker);
    rig.#ends.use(dir);
    rig.#ends.use(broker);
    return Object.assign(rig, { configure });
  }

  /** @param options `user` with `password`, where the broker asks for them */
  async link({ user, ...options }: Partial<NatsOptions> & { user?: string } = {}): Promise<NatsLink> {
    const servers = user === undefined ? this.broker.url : this.broker.url.replace('//', `//${user}@`);
    const onFault = (fault: Error) => this.faults.push(fault.message);
    const made = await connectNats({ servers, name: 'test', connectTimeoutMs: BUSY_MS, onFault, ...options });
    this.links.push(made);
    return made;
  }

  /** A probe, served by one link and called by another, which knows it. */
  async served(options: Partial<NatsOptions> = {}): Promise<{ port: ProbePort; probe: Probe; caller: NatsLink; server: NatsLink }> {
    const probe = new Probe();
    const server = await this.link(options);
    await server.serve(probePort, probe.port);
    const caller = await this.link(options);
    const port = caller.client(probePort);
    await waitFor(() => caller.routing.members === 1, { what: 'the caller knows the server' });
    return { port, probe, caller, server };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.links.map((each) => each.close(0)));
    await this.#ends.disposeAsync();
  }
}

/** On a machine with much else to do a connection may take seconds. */
const BUSY_MS = 30_000;

export interface Outcome {
  readonly code: string;
  readonly definite: boolean;
  readonly message: string;
}

/** How a call ends, heard from now on, so that no rejection is ever without a handler. */
export const outcomeOf = (call: Promise<unknown>): Promise<Outcome> =>
  call.then(
    () => ({ code: 'answered', definite: false, message: '' }),
    (error: Outcome) => error,
  );

export const codeOf = async (call: Promise<unknown>): Promise<string> => (await outcomeOf(call)).code;
