import { fromSource, startProcess, waitFor, type RunningProcess } from '@diptych/testing';

const fixture = new URL('./fixtures/tiny-app.ts', import.meta.url);

/** The tiny app as a process of its own, from source. */
export async function startTiny(
  variables: Record<string, string> = {},
  ready: RegExp | (() => boolean) = /"event":"ready"/,
  program = fixture,
): Promise<RunningProcess> {
  const tiny = fromSource(program);
  const inherited = Object.entries(tiny.env).filter(([name]) => !name.startsWith('DIPTYCH_') && !name.startsWith('VITEST'));
  return startProcess({
    ...tiny,
    env: { ...Object.fromEntries(inherited), ...variables },
    ready,
    // A second of work each, and several at once: on a machine that is busy besides, that takes its time.
    readyTimeoutMs: 120_000,
    name: 'tiny',
  });
}

/** For one that is expected to end by itself: ready at once, then gone. */
export async function runTiny(variables: Record<string, string>, program = fixture): Promise<RunningProcess> {
  const tiny = await startTiny(variables, () => true, program);
  await tiny.exited;
  return tiny;
}

/** What it has said so far, oldest first. */
export function eventsOf(tiny: RunningProcess): string[] {
  return tiny.stdout
    .split('\n')
    .filter((line) => line.includes('"event"'))
    .map((line) => (JSON.parse(line) as { event: string }).event);
}

export function urlOf(tiny: RunningProcess): string {
  return /"url":"([^"]+)"/.exec(tiny.stdout)![1]!;
}

export async function untilSaid(tiny: RunningProcess, event: string): Promise<void> {
  await waitFor(() => eventsOf(tiny).includes(event), { timeoutMs: 60_000 });
}
