import { PARTITION, bothWays, type Faults, type Tally } from '@diptych/fault-proxy';
import { waitFor } from '@diptych/testing';
import type { Injection } from './outage.js';
import { PARTS, type ArmName, type Panels, type PartName } from './panels.js';

/* What can be done to a panel from outside, each with its proof. */

export function kill(part: PartName): Injection {
  return {
    async begin(panels) {
      const before = await panels.state(part);
      await panels.kill(part);
      const after = await panels.state(part);
      prove(before.running && !after.running && after.exitCode === 137, `${part}: ${JSON.stringify({ before, after })}`);
      return `${part}: process ${before.pid} ran, is gone, exit code 137`;
    },
    end: (panels) => panels.start(part),
  };
}

export function freeze(part: PartName): Injection {
  return {
    async begin(panels) {
      await panels.pause(part);
      const { paused, pid } = await panels.state(part);
      prove(paused, `${part} is not paused`);
      return `${part}: process ${pid} is paused`;
    },
    async end(panels) {
      await panels.unpause(part);
    },
  };
}

const SLOW_MS = 100;

export function slow(part: 'gateway' | 'cache' | 'log'): Injection {
  return onWire(part, bothWays({ latencyMs: SLOW_MS }), ({ toUpstream, toClient }) => {
    for (const way of [toUpstream, toClient])
      prove(way.chunks > 0 && way.delayMsMin >= SLOW_MS, `nothing was delayed: ${JSON.stringify(way)}`);
    return `${toUpstream.chunks} and ${toClient.chunks} chunks, each late by ${SLOW_MS} ms and more`;
  });
}

export function partition(part: 'gateway' | 'cache' | 'log'): Injection {
  return onWire(part, PARTITION, ({ toUpstream, toClient, open }) => {
    const sent = toUpstream.bytesIn + toClient.bytesIn;
    const passed = toUpstream.bytesOut + toClient.bytesOut;
    prove(sent > 0 && passed === 0, `${passed} of ${sent} bytes passed`);
    return `none of ${sent} bytes passed, on ${open} connections`;
  });
}

function onWire(part: 'gateway' | 'cache' | 'log', faults: Faults, proof: (tally: Tally) => string): Injection {
  return {
    async begin(panels) {
      await panels.wire(part).setFaults(faults);
      return `the wire of ${part}: ${JSON.stringify(faults)}`;
    },
    during: async (panels) => proof(await panels.wire(part).tally()),
    end: (panels) => panels.wire(part).setFaults({}),
  };
}

export const READY_MS_MAX = 30_000;

/** From the data outwards; the broker too, where there is one. */
export function restartAll(arm: ArmName): Injection {
  const order = [...PARTS[arm]].reverse();
  return {
    healsByItself: true,
    settlesMs: 0,
    async begin(panels) {
      const proofs: string[] = [];
      for (const part of order) proofs.push(await restartOne(panels, part));
      return proofs.join(', ');
    },
    // The last of them is ready.
    end: async () => undefined,
  };
}

async function restartOne(panels: Panels, part: PartName): Promise<string> {
  const before = await panels.state(part);
  await panels.restart(part);
  const after = await panels.state(part);
  prove(after.startedAt !== before.startedAt && after.pid !== before.pid, `${part} was not restarted`);
  await waitFor(() => panels.isHealthy(part), { timeoutMs: READY_MS_MAX, what: `${part} is ready again`, pollMs: 100 });
  return `${part}: process ${before.pid} became ${after.pid}`;
}

export function fillDisk(part: 'monolith' | 'log'): Injection {
  const ballast = (number: number) => `/disks/${part}/ballast-${number}`;
  const fill = async (panels: Panels, number: number) => {
    const { output } = await panels.exec('faults', ['dd', 'if=/dev/zero', `of=${ballast(number)}`, 'bs=4096']);
    prove(output.includes('No space left on device'), `the disk of ${part} was not filled: ${output}`);
  };
  return {
    async begin(panels) {
      await fill(panels, 1);
      const status = await useUpRoom(panels.address.urls[part === 'log' ? 'services' : part]);
      await fill(panels, 2);
      return `the disk of ${part}: No space left on device, and ${status} for what found no room any more`;
    },
    async end(panels) {
      await panels.exec('faults', ['rm', '-f', ballast(1), ballast(2)]);
    },
  };
}

/** The log has written room ahead, in which it goes on for as long as that lasts: here until the first is refused. @returns with which status */
async function useUpRoom(url: string): Promise<number> {
  for (let i = 0; i < ROOM_PUTS_MAX; i++) {
    const { status } = await fetch(`${url}/v1/keys/room-${i}`, { method: 'PUT', body: Buffer.alloc(ROOM_PUT_BYTES) });
    if (status === 507) return status;
  }
  throw new Error(`the injection is not proved: ${ROOM_PUTS_MAX} writes of ${ROOM_PUT_BYTES} bytes all had space`);
}

/** Small enough for room: a large batch has none. */
const ROOM_PUT_BYTES = 60_000;
const ROOM_PUTS_MAX = 50;

/** Each is smaller than a Node process, so that the kernel chooses that one. */
const EATER = 'head -c 16000000 /dev/zero | tail -c 16000000 | sleep 60';
const EATERS = 20;

export function eatMemory(part: PartName): Injection {
  return {
    healsByItself: true,
    settlesMs: 0,
    async begin(panels) {
      const before = await panels.state(part);
      const sinceMs = Date.now() - 1_000;
      await panels.spawn(part, ['bash', '-c', `for i in {1..${EATERS}}; do { ${EATER}; } & done; wait`]);
      await waitFor(async () => (await panels.state(part)).restarts > before.restarts, {
        what: `${part} is ended and started again`,
        timeoutMs: 20_000,
        pollMs: 50,
      });
      const events = await panels.events(part, ['oom', 'die'], sinceMs);
      prove(events.includes('oom') && events.includes('die 137'), `${part} was not ended by the kernel: ${events.join(', ')}`);
      return `${part}: process ${before.pid}, events ${[...new Set(events)].join(', ')}`;
    },
    // The eaters ended with the process whose container it was; the engine has started it again.
    end: async () => undefined,
  };
}

export function prove(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Error(`the injection is not proved: ${otherwise}`);
}
