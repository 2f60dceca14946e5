import { seedFromEnv, waitFor } from '@diptych/testing';
import { prove, READY_MS_MAX } from './injections.js';
import { runInside } from './inside.js';
import type { Injection } from './outage.js';
import type { PanelPart, Panels } from './panels.js';

/* What ends nothing at once: starving, waiting for the disk, being sent rubbish, leaking. Each with its proof. */

/** A thousandth of a core: less than any part needs to do nothing. */
const STARVED_US_PER_SECOND = 1_000;

export function starve(part: PanelPart): Injection {
  let before = { periods: 0, ms: 0 };
  return {
    async begin(panels) {
      before = await panels.throttled(part);
      await panels.allowCpu(part, STARVED_US_PER_SECOND);
      return `${part}: ${STARVED_US_PER_SECOND / 1000} ms of processor time a second`;
    },
    async during(panels) {
      const after = await panels.throttled(part);
      const [periods, ms] = [after.periods - before.periods, after.ms - before.ms];
      prove(periods > 0 && ms > 0, `${part} was never kept from running`);
      return `kept from running in ${periods} periods, its threads for ${Math.round(ms)} ms together`;
    },
    // A period is a second long, and what was given out before the bound may still be used in the first: a cache answered 6 of 37 reads so.
    settlesMs: 2_000,
    end: (panels) => panels.allowCpu(part, undefined),
  };
}

export function slowDisk(part: PanelPart, delayMs: number): Injection {
  let tracer: Awaited<ReturnType<Panels['delaySyncs']>> | undefined;
  return {
    async begin(panels) {
      tracer = await panels.delaySyncs(part, delayMs);
      await waitFor(async () => (await tracer!.seen()).length > 0, {
        what: `a sync of ${part} is late`,
        timeoutMs: READY_MS_MAX,
        pollMs: 50,
      });
      return `every sync of ${part} is held for ${delayMs} ms`;
    },
    async during() {
      const tookMs = await tracer!.seen();
      // The kernel's clock and strace's differ by less than this.
      prove(tookMs.length > 0 && Math.min(...tookMs) >= delayMs * 0.98, `syncs took ${tookMs.join(', ')} ms`);
      return `${tookMs.length} syncs, ${Math.round(Math.min(...tookMs))} to ${Math.round(Math.max(...tookMs))} ms each`;
    },
    end: async () => tracer?.end(),
  };
}

interface PoisonTally {
  readonly sent: number;
  readonly answers: Readonly<Record<string, number>>;
}

const POISON_MS = 3_500;

/** To the part's own door: HTTP for those that have the edge, NATS for the others. */
export function poison(part: 'monolith' | 'gateway' | 'cache' | 'log'): Injection {
  const kind = part === 'cache' || part === 'log' ? 'nats' : 'http';
  let poisoning: Promise<PoisonTally> | undefined;
  let before = { pid: 0, restarts: 0 };
  return {
    async begin(panels) {
      before = await panels.state(part);
      poisoning = runInside<PoisonTally>(panels, 'faults', 'poison', kind, part, String(seedFromEnv()), String(POISON_MS));
      poisoning.catch(() => undefined);
      return `${part} is sent what it cannot read`;
    },
    async during(panels) {
      const { sent, answers } = await poisoning!;
      prove(sent > 10 && Object.keys(answers).length > 0, `${sent} were sent, ${JSON.stringify(answers)} came back`);
      const { pid, restarts } = await panels.state(part);
      prove(pid === before.pid && restarts === before.restarts, `${part} did not live through it`);
      return `${sent} were sent, answers: ${JSON.stringify(answers)}; still process ${pid}`;
    },
    end: async () => undefined,
  };
}

const LEAK_MB_PER_SECOND = 60;

export function leak(part: PanelPart): Injection {
  return {
    healsByItself: true,
    // It takes as long as it takes until it is full, and works well meanwhile: what counts begins with its end.
    beginsWhenProved: true,
    settlesMs: 0,
    async begin(panels) {
      const before = await panels.state(part);
      const sinceMs = Date.now() - 1_000;
      const { limitMb } = await runInside<{ limitMb: number }>(panels, part, 'leak', String(LEAK_MB_PER_SECOND));
      const heldMb: number[] = [];
      const held = async () => heldMb.push(Math.round((await panels.memoryOf(part)) / 1e6));
      await waitFor(
        async () => {
          const { restarts, running } = await panels.state(part);
          if (running && restarts === before.restarts) await held();
          return restarts > before.restarts;
        },
        { what: `${part} has leaked to its limit and was started again`, timeoutMs: 60_000, pollMs: 50 },
      );
      const events = await panels.events(part, ['oom', 'die'], sinceMs);
      const grownMb = Math.max(...heldMb) - heldMb[0]!;
      // 137: the kernel ended it at the limit of the container. 134 or, since nobody can abort process 1, 139: it gave up at the limit of its heap.
      const gaveUp = events.includes('die 134') || events.includes('die 139');
      const isFull = gaveUp ? (await panels.wrote(part, sinceMs)).includes('heap out of memory') : events.includes('die 137');
      prove(isFull, `${part} did not end by a limit: ${events.join(', ')}`);
      prove(grownMb > 20, `${part} did not grow: ${heldMb.join(', ')} MB`);
      return `${part}: process ${before.pid} grew by ${grownMb} MB and more towards a heap of ${limitMb} MB, events ${[...new Set(events)].join(', ')}`;
    },
    end: async () => undefined,
  };
}
