import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Pool } from 'undici';
import type { Capability } from './dependency-table.js';
import { FILL_OPERATION } from './load/fill.js';
import { operationOf, type Outcome } from './load/operations.js';

/** One line of a history. Times are milliseconds on one clock. */
export interface HistoryLine {
  readonly id: string;
  readonly op: Capability;
  readonly key: string;
  readonly sent: number | null;
  readonly done: number;
  readonly outcome: Outcome;
}

export interface DurabilityFinding {
  /** Writes that were answered with success. */
  readonly acknowledged: number;
  /** Writes that may have happened: their answer never came. */
  readonly unknown: number;
  /** Acknowledged, and neither there nor overwritten by a later write. */
  readonly lost: readonly string[];
  /** Values that nobody wrote. */
  readonly phantom: readonly string[];
}

type FinalState = { readonly kind: 'value'; readonly operation: string | undefined } | { readonly kind: 'absent' };

/**
 * Whether the final state of every written key is one that the history allows: the write that is there must not have ended before another
 * acknowledged write of that key began. Nothing of this relies on what the system says of its own order.
 *
 * @param finalStateOf reads a key from the system, after the last request was answered
 */
export async function checkDurability(
  history: readonly HistoryLine[],
  finalStateOf: (key: string) => Promise<FinalState>,
): Promise<DurabilityFinding> {
  const writes = history.filter(({ op, outcome }) => (op === 'put' || op === 'delete') && outcome !== 'unsent');
  const byKey = Map.groupBy(writes, ({ key }) => key);
  const lost: string[] = [];
  const phantom: string[] = [];
  for (const [key, ofKey] of byKey) {
    const state = await finalStateOf(key);
    const writtenBy = explanations(state, ofKey);
    const acknowledged = ofKey.filter(({ outcome }) => outcome === 'good');
    if (writtenBy.length === 0) {
      if (state.kind === 'value') phantom.push(key);
      else lost.push(...acknowledged.map(({ id }) => id));
      continue;
    }
    // The kindest explanation is the one that ended last; one without an answer may have happened at any later time.
    const endedLast = Math.max(...writtenBy.map(({ outcome, done }) => (outcome === 'good' ? done : Number.POSITIVE_INFINITY)));
    lost.push(
      ...acknowledged.filter(({ sent, id }) => sent! > endedLast && !writtenBy.some((write) => write.id === id)).map(({ id }) => id),
    );
  }
  const unknown = writes.filter(({ outcome }) => outcome === 'timeout' || outcome === 'reset').length;
  return { acknowledged: writes.filter(({ outcome }) => outcome === 'good').length, unknown, lost, phantom };
}

/** The operations that could have left this state. What was filled in before the first request ended before all of them. */
function explanations(state: FinalState, ofKey: readonly HistoryLine[]): ReadonlyArray<Pick<HistoryLine, 'id' | 'done' | 'outcome'>> {
  if (state.kind === 'value' && state.operation === FILL_OPERATION)
    return [{ id: FILL_OPERATION, done: Number.NEGATIVE_INFINITY, outcome: 'good' }];
  if (state.kind === 'value') return ofKey.filter(({ op, id }) => op === 'put' && id === state.operation);
  return ofKey.filter(({ op, outcome }) => op === 'delete' && outcome !== 'wrong-status');
}

export async function readHistory(file: string): Promise<HistoryLine[]> {
  const lines: HistoryLine[] = [];
  for await (const line of createInterface({ input: createReadStream(file) })) if (line !== '') lines.push(JSON.parse(line) as HistoryLine);
  return lines;
}

/** Reads keys over HTTP; a key that cannot be read after some tries is an error, not an absence. */
export function httpReader(
  baseUrl: string,
  signal: AbortSignal,
): { finalStateOf: (key: string) => Promise<FinalState>; close: () => Promise<void> } {
  const pool = new Pool(baseUrl, { connections: 16 });
  return {
    finalStateOf: async (key) => {
      for (let attempt = 1; ; attempt++) {
        const { statusCode, body } = await pool.request({ method: 'GET', path: `/v1/keys/${encodeURIComponent(key)}`, signal });
        const text = await body.text();
        if (statusCode === 200) return { kind: 'value', operation: operationOf(key, text) };
        if (statusCode === 404) return { kind: 'absent' };
        if (attempt === 5) throw new Error(`reading ${key} back failed with ${statusCode}: ${text.slice(0, 200)}`);
      }
    },
    close: () => pool.destroy(),
  };
}
