import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGunzip } from 'node:zlib';
import { Pool } from 'undici';
import type { Capability } from './dependency-table.js';
import { FILL_OPERATION } from './load/fill.js';
import { operationOf, type Outcome } from './load/operations.js';

/** One line of a history. Times are milliseconds on one clock; null for what never was. */
export interface HistoryLine {
  readonly id: string;
  readonly op: Capability;
  readonly key: string;
  readonly sent: number | null;
  readonly done: number | null;
  readonly outcome: Outcome;
}

export interface DurabilityFinding {
  /** Writes that were answered with success, those before the load included. */
  readonly acknowledged: number;
  /** Writes that may have happened: their answer never came, or left it open. Whether they are there is all the same. */
  readonly unknown: number;
  /** Keys of which any write was acknowledged: as many as can be lost. */
  readonly acknowledgedKeys: number;
  /** Acknowledged, and neither there nor overwritten by a later write: of each key its last one at most. */
  readonly lost: readonly string[];
  /** Keys with a value that nobody wrote. */
  readonly phantom: readonly string[];
  /** Writes that are there although they were answered with an error that says that they did not and will not happen. */
  readonly invented: readonly string[];
  /** Keys that could not be read back, so that nothing can be said of them. */
  readonly unread: readonly string[];
}

export type FinalState = { readonly kind: 'value'; readonly operation: string | undefined } | { readonly kind: 'absent' };

/** After so many keys in a row that cannot be read, the rest is not tried. */
const UNREAD_MAX = 3;
const READERS = 16;

/**
 * Whether the final state of every key is one that the history allows: the write that is there must not have ended before another
 * acknowledged write of that key began. Nothing of this relies on what the system says of its own order.
 *
 * @param filled keys that were written, and acknowledged, before the history began
 * @param finalStateOf reads a key from the system, after the last request was answered
 */
export async function checkDurability(
  history: readonly HistoryLine[],
  filled: readonly string[],
  finalStateOf: (key: string) => Promise<FinalState>,
): Promise<DurabilityFinding> {
  const filledKeys = new Set(filled);
  const writes = history.filter(({ op, outcome }) => (op === 'put' || op === 'delete') && outcome !== 'unsent');
  const byKey = Map.groupBy(writes, ({ key }) => key);
  const keys = [...new Set([...filledKeys, ...byKey.keys()])];
  const found = { lost: [] as string[], phantom: [] as string[], invented: [] as string[], unread: [] as string[] };
  let next = 0;
  const reader = async () => {
    while (next < keys.length) {
      const key = keys[next++]!;
      const state = found.unread.length < UNREAD_MAX ? await finalStateOf(key).catch(() => undefined) : undefined;
      if (state === undefined) {
        found.unread.push(key);
        continue;
      }
      const judged = judgeKey(key, state, byKey.get(key) ?? [], filledKeys.has(key));
      found.lost.push(...judged.lost);
      found.phantom.push(...judged.phantom);
      found.invented.push(...judged.invented);
    }
  };
  await Promise.all(Array.from({ length: READERS }, reader));
  const good = writes.filter(({ outcome }) => outcome === 'good');
  const acknowledged = good.length + filledKeys.size;
  const acknowledgedKeys = new Set([...filledKeys, ...good.map(({ key }) => key)]).size;
  return { acknowledged, acknowledgedKeys, unknown: writes.filter(isOpen).length, ...found };
}

/** Whether it may have happened, and may yet have when it was last looked. */
function isOpen({ outcome }: HistoryLine): boolean {
  return outcome !== 'good' && outcome !== 'refused';
}

function judgeKey(
  key: string,
  state: FinalState,
  ofKey: readonly HistoryLine[],
  filled: boolean,
): Record<'lost' | 'phantom' | 'invented', string[]> {
  const before: HistoryLine = {
    id: `${FILL_OPERATION} of ${key}`,
    op: 'put',
    key,
    sent: Number.NEGATIVE_INFINITY,
    done: Number.NEGATIVE_INFINITY,
    outcome: 'good',
  };
  const all = filled ? [before, ...ofKey] : ofKey;
  const acknowledged = all.filter(({ outcome }) => outcome === 'good');
  const couldHave = all.filter(({ op, id }) =>
    state.kind === 'absent'
      ? op === 'delete'
      : op === 'put' && (id === before.id ? state.operation === FILL_OPERATION : id === state.operation),
  );
  const explanations = couldHave.filter(({ outcome }) => outcome !== 'refused');
  if (explanations.length === 0) {
    if (state.kind === 'absent') return { lost: lastOf(acknowledged), phantom: [], invented: [] };
    // What must not be there has overwritten what was acknowledged, unless a write without an answer may have done that before.
    const lost = all.some(isOpen) ? [] : lastOf(acknowledged);
    return couldHave.length === 0 ? { lost, phantom: [key], invented: [] } : { lost, phantom: [], invented: couldHave.map(({ id }) => id) };
  }
  // The kindest explanation is the one that ended last; one without an answer may have happened at any later time.
  const endedLast = Math.max(...explanations.map(({ outcome, done }) => (outcome === 'good' ? done! : Number.POSITIVE_INFINITY)));
  const later = acknowledged.filter(({ sent, id }) => sent! > endedLast && !explanations.some((write) => write.id === id));
  return { lost: lastOf(later), phantom: [], invented: [] };
}

/** Of acknowledged writes of one key that are not there: what came before the last of them was overwritten anyway. */
function lastOf(writes: readonly HistoryLine[]): string[] {
  const [first, ...others] = writes;
  return first ? [others.reduce((last, each) => (each.done! > last.done! ? each : last), first).id] : [];
}

export async function readHistory(file: string): Promise<HistoryLine[]> {
  const lines: HistoryLine[] = [];
  const text = createReadStream(file).pipe(createGunzip());
  for await (const line of createInterface({ input: text })) if (line !== '') lines.push(JSON.parse(line) as HistoryLine);
  return lines;
}

const READ_TIMEOUT_MS = 5_000;
const ATTEMPTS = 20;
const BETWEEN_ATTEMPTS_MS = 250;

/** Reads keys over HTTP; a key that cannot be read after some tries is an error, not an absence. */
export function httpReader(
  baseUrl: string,
  signal: AbortSignal,
): { finalStateOf: (key: string) => Promise<FinalState>; close: () => Promise<void> } {
  const pool = new Pool(baseUrl, { connections: READERS, headersTimeout: READ_TIMEOUT_MS, bodyTimeout: READ_TIMEOUT_MS });
  const readOnce = async (key: string): Promise<FinalState | string> => {
    try {
      const { statusCode, body } = await pool.request({ method: 'GET', path: `/v1/keys/${encodeURIComponent(key)}`, signal });
      const text = await body.text();
      if (statusCode === 200) return { kind: 'value', operation: operationOf(key, text) };
      return statusCode === 404 ? { kind: 'absent' } : `${statusCode}: ${text.slice(0, 200)}`;
    } catch (error) {
      return String(error);
    }
  };
  return {
    finalStateOf: async (key) => {
      for (let attempt = 1; ; attempt++) {
        const read = await readOnce(key);
        if (typeof read !== 'string') return read;
        signal.throwIfAborted();
        if (attempt === ATTEMPTS) throw new Error(`reading ${key} back failed: ${read}`);
        await sleep(BETWEEN_ATTEMPTS_MS, undefined, { signal });
      }
    },
    close: () => pool.destroy(),
  };
}
