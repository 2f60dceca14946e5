import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '@diptych/testing';
import { RegisterClient } from './client.js';
import { EntityTags } from './entity-tags.js';
import { KeyHistories } from './history.js';
import type { Action, Condition } from './register.js';

/** The system under the load: where it is, and how it is broken. */
export interface Subject {
  readonly url: string;
  /** Kills it and starts it again, at its old address, with its old data. */
  crash(): Promise<void>;
}

export interface WorkloadOptions {
  readonly operations: number;
  readonly crashes: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly onProgress?: (done: number) => void;
}

export const WORKLOAD = { clients: 32, hotKeys: 10, otherKeys: 2_000, hotShare: 0.7, gets: 0.5, deletes: 0.12 } as const;

/**
 * Clients that read and write a few hot keys and many others, each put with a value of its own, while the system is killed and started again.
 * At the end every key is read once more, so that what was lost shows.
 */
export async function runWorkload(subject: Subject, options: WorkloadOptions): Promise<KeyHistories> {
  const random = seededRandom(options.seed);
  const histories = new KeyHistories();
  const tags = new EntityTags();
  let up = Promise.resolve();
  let nextCrash = 1;
  let begun = 0;
  const crashIfDue = () => {
    if (nextCrash > options.crashes || begun < (nextCrash * options.operations) / (options.crashes + 1)) return;
    nextCrash++;
    const afterMs = random() * 20;
    up = up.then(() => sleep(afterMs)).then(() => subject.crash());
    // Whoever waits for it sees the failure.
    up.catch(() => undefined);
  };
  const client = async () => {
    await using connection = new RegisterClient(subject.url);
    while (begun < options.operations && !options.signal.aborted) {
      begun++;
      crashIfDue();
      const key = keyFor(random);
      const action = actionFor(begun, tags.valueUnder(key), random);
      const operation = await connection.perform(key, action, tags);
      histories.add(key, operation);
      if (begun % 1_000 === 0) options.onProgress?.(begun);
      if (!operation || operation.outcome.kind === 'unknown') {
        await sleep(REFUSED_PAUSE_MS);
        await up;
      }
    }
  };
  await Promise.all(Array.from({ length: WORKLOAD.clients }, client));
  await up;
  await using reader = new RegisterClient(subject.url);
  for (const [key] of [...histories]) histories.add(key, await reader.perform(key, { kind: 'get' }, tags));
  return histories;
}

function keyFor(random: () => number): string {
  if (random() < WORKLOAD.hotShare) return `hot/${Math.floor(random() * WORKLOAD.hotKeys)}`;
  return `other/${Math.floor(random() * WORKLOAD.otherKeys)}`;
}

/** @param value for a put @param known the value whose entity tag can be named in a condition */
function actionFor(value: number, known: number | undefined, random: () => number): Action {
  const dice = random();
  if (dice < WORKLOAD.gets) return { kind: 'get' };
  const conditions: Condition[] = [{ kind: 'none' }, { kind: 'none' }, { kind: 'ifPresent' }];
  if (known !== undefined) conditions.push({ kind: 'ifValue', value: known }, { kind: 'ifValue', value: known });
  if (dice < WORKLOAD.gets + WORKLOAD.deletes) return { kind: 'delete', condition: conditions[Math.floor(random() * conditions.length)]! };
  conditions.push({ kind: 'ifAbsent' });
  return { kind: 'put', value, condition: conditions[Math.floor(random() * conditions.length)]! };
}

const REFUSED_PAUSE_MS = 20;
