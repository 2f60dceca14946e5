import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { systemClock } from '@diptych/kernel';
import { freePort, startProcess, tempDir, waitFor, WORKSPACE, type RunningProcess, type TempDir } from '@diptych/testing';

/** How requests are spread: to the least busy, or by the key in their path, so that each key has one server (consistent hashing). */
export type Spreading = 'least busy' | 'by key';

export interface BalancerSlot {
  readonly slot: number;
  /** `UP`, `DOWN`, `DRAIN`, `MAINT`, with what it is on its way to. */
  readonly status: string;
  /** Whether it gets its whole share: one that has come a moment ago does not. */
  readonly isWarm: boolean;
  /** Requests it has now. */
  readonly current: number;
  /** Sessions that it was given since the start. */
  readonly total: number;
}

/** Whether its checks do not reach whoever has this place. One that is on its way back is still down. */
export function isDown({ status }: BalancerSlot): boolean {
  return status.startsWith('DOWN');
}

const SLOTS = 8;
/**
 * Requests that an instance has at most, and how long one may wait for a place in it before it is refused. Without the bounds, who waits for a full instance waits there until
 * their deadline, and it answers them too late one after the other: at 1.7 times what it can do next to nothing was answered in time. A quarter of a core answers 64 in
 * about 25 ms, and within two fifths of the deadline of the objective a place is of use.
 */
export const BALANCER_BOUNDS: BalancerBounds = { instanceRequestsMax: 64, queueMsMax: 100, slowStartSeconds: 3 };

export interface BalancerBounds {
  readonly instanceRequestsMax: number;
  readonly queueMsMax: number;
  /**
   * For so long one that comes gets less than its share, more by the second: it is yet to be compiled, and with the same share as the others it answered its first 64 requests
   * too late, and everybody's in that second. 0: at once. By key there is nobody else who could answer.
   */
  readonly slowStartSeconds: number;
}

/** HAProxy before instances of one part, by `tools/balancer/replicas.cfg` (active L7 checks) and a list of free places that instances take and leave at run time. */
export class Balancer {
  readonly url: string;
  readonly #socket: string;
  readonly #answerMsMax: number;

  /** @param socket where it takes commands, as `BALANCER_CONTROL` told it @param answerMsMax for hangs only: on a machine with much else to do an answer may take seconds */
  constructor(url: string, socket: string, answerMsMax = 30_000) {
    this.url = url;
    this.#socket = socket;
    this.#answerMsMax = answerMsMax;
  }

  /** Takes an instance in; resolves when its check has answered and it gets requests. */
  async admit(slot: number, port: number, address = '127.0.0.1'): Promise<void> {
    await this.#tell(`set server edges/s${slot} addr ${address} port ${port}`);
    // One that has just been enabled counts as up until a check fails; it says that it is ready before it comes here.
    await this.#tell(`set server edges/s${slot} state ready`);
    await waitFor(async () => (await this.slots()).some((each) => each.slot === slot && each.status.startsWith('UP')), {
      what: `the balancer takes s${slot} in`,
      timeoutMs: 60_000,
      pollMs: 20,
    });
  }

  /** Gives an instance no new request; resolves when it has answered those that it had. */
  async drain(slot: number): Promise<void> {
    await this.#tell(`set server edges/s${slot} state drain`);
    await waitFor(async () => (await this.slots()).every((each) => each.slot !== slot || each.current === 0), {
      what: `s${slot} answers what it has`,
      timeoutMs: 60_000,
      pollMs: 20,
    });
    await this.expel(slot);
  }

  /** Forgets an instance and whatever it had: one that has ended answers nothing. Safe to repeat. */
  async expel(slot: number): Promise<void> {
    await this.#tell(`set server edges/s${slot} state maint`);
  }

  /** @throws Error when it has not answered within `timeoutMs` */
  async slots(timeoutMs = this.#answerMsMax): Promise<BalancerSlot[]> {
    const [head = '', ...lines] = (await ask(this.#socket, 'show stat edges 4 -1', timeoutMs)).trim().split('\n');
    const names = head.replace('# ', '').split(',');
    const place = (name: string) => names.indexOf(name);
    // Nobody in it would read as nobody busy.
    if (place('svname') === -1) throw new Error(`haproxy: show stat: no figures but "${head.slice(0, 100)}"`);
    return lines.flatMap((line) => {
      const cells = line.split(',');
      const slot = Number(/^s(\d+)$/.exec(cells[place('svname')] ?? '')?.[1]);
      if (Number.isNaN(slot)) return [];
      const [weight, full] = ['weight', 'uweight'].map((name) => Number(cells[place(name)]));
      return [
        {
          slot,
          status: cells[place('status')]!,
          isWarm: weight === full,
          current: Number(cells[place('scur')]),
          total: Number(cells[place('stot')]),
        },
      ];
    });
  }

  /** Resolves when all that are up get their whole share. */
  async untilWarm(): Promise<void> {
    await waitFor(async () => (await this.slots()).every(({ status, isWarm }) => isWarm || !status.startsWith('UP')), {
      what: 'the balancer gives all their share',
      timeoutMs: 60_000,
      pollMs: 50,
    });
  }

  /** Whether it takes commands. Never rejects. */
  async isThere(): Promise<boolean> {
    return (await ask(this.#socket, 'show info', this.#answerMsMax).catch(() => '')).includes('Uptime_sec');
  }

  /** @throws Error with what it answered: it answers a line without a word to what it did, and a sentence to what it did not */
  async #tell(command: string): Promise<void> {
    const answer = (await ask(this.#socket, command, this.#answerMsMax)).trim();
    if (answer !== '' && !/^(no need to change|IP changed|nothing changed|port changed)/i.test(answer))
      throw new Error(`haproxy: ${command}: ${answer}`);
  }
}

/** A balancer that is a plain process of ours. */
export class BalancerProcess extends Balancer implements AsyncDisposable {
  readonly #process: RunningProcess;
  readonly #dir: TempDir;

  private constructor(url: string, socket: string, process: RunningProcess, dir: TempDir) {
    super(url, socket);
    this.#process = process;
    this.#dir = dir;
  }

  static async start(spreading: Spreading, bounds: BalancerBounds = BALANCER_BOUNDS): Promise<BalancerProcess> {
    const dir = await tempDir('diptych-balancer-');
    const where = `127.0.0.1:${await freePort()}`;
    const url = `http://${where}`;
    const { socket, config } = placesIn(dir.path, where, spreading, bounds);
    const starting = startProcess({
      name: 'haproxy',
      command: haproxy(),
      args: ['-db', '-q', '-f', join(WORKSPACE, 'tools/balancer/replicas.cfg'), '-f', config],
      env: { ...process.env, BALANCER_CONTROL: socket },
      ready: () => new Balancer(url, socket).isThere(),
    });
    try {
      return new BalancerProcess(url, socket, await starting, dir);
    } catch (error) {
      await dir.remove();
      throw error;
    }
  }

  get pid(): number {
    return this.#process.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stop();
    await this.#dir.remove();
  }
}

/** Writes who the replicas are: nobody yet. @param where it listens, as HAProxy spells it */
export function placesIn(
  dir: string,
  where: string,
  spreading: Spreading,
  bounds: BalancerBounds = BALANCER_BOUNDS,
): { readonly socket: string; readonly config: string } {
  const config = join(dir, 'instances.cfg');
  writeFileSync(config, configuration(where, spreading, bounds));
  return { socket: join(dir, 'control.sock'), config };
}

/** Why there is no balancer, if so: asked before anything is started. */
export function whyNoBalancer(): string | undefined {
  const { status, error } = spawnSync(haproxy(), ['-v'], { encoding: 'utf8' });
  return status === 0
    ? undefined
    : `there is no ${haproxy()}${error ? '' : ' that runs'}: npm run setup brings one where it can (Debian: apt-get install haproxy), or name the program in DIPTYCH_HAPROXY`;
}

function haproxy(): string {
  return process.env['DIPTYCH_HAPROXY'] || 'haproxy';
}

function configuration(where: string, spreading: Spreading, bounds: BalancerBounds): string {
  // The whole path: a key. A weight of 256 gives each server 16 times as many places on the ring as the default, and so more equal shares.
  const byKey = ['  balance uri path-only', '  hash-type consistent sdbm avalanche'];
  const slowStart = spreading === 'by key' || bounds.slowStartSeconds === 0 ? '' : ` slowstart ${bounds.slowStartSeconds}s`;
  return [
    'frontend edge from clients',
    `  bind ${where}`,
    '  default_backend edges',
    'backend edges from replicas',
    ...(spreading === 'by key' ? byKey : []),
    `  timeout queue ${bounds.queueMsMax}ms`,
    ...Array.from(
      { length: SLOTS },
      (_, i) =>
        `  server s${i + 1} 127.0.0.1:1 disabled maxconn ${bounds.instanceRequestsMax} weight ${spreading === 'by key' ? 256 : 100}${slowStart}`,
    ),
    '',
  ].join('\n');
}

/** @throws Error when it has not answered to the end in time, or cannot be reached */
function ask(socket: string, command: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const connection = connect(socket, () => connection.write(`${command}\n`));
    const late = systemClock.after(timeoutMs, () => connection.destroy(new Error(`haproxy: ${command}: no answer within ${timeoutMs} ms`)));
    connection.setEncoding('utf8').on('data', (text: string) => (answer += text));
    connection.once('end', () => resolve(answer));
    connection.once('error', reject);
    connection.once('close', () => late[Symbol.dispose]());
  });
}
