import { keepRecord, seededRandom, seedFromEnv } from '@diptych/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { pick } from '../../test/crash-state.js';
import { turns } from '../../test/crash-workload.js';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { allKeys, bytesOf, soon } from '../../test/log-fixture.js';
import type { Outcome } from '../../test/log-model.js';
import { conditionOf, Model, outcomeOf } from '../../test/log-model.js';
import { MemoryDisk } from '../../test/memory-disk.js';
import type { AppendRequest } from '../log.port.js';
import type { FileLog } from './file-log.js';
import { openFileLog } from './file-log.js';
import type { FileLogOptions } from './file-log-options.js';

const long = process.env['DIPTYCH_LONG'] === '1';

type Operation =
  | {
      kind: 'append';
      pause: boolean;
      key: string;
      value: string | undefined;
      condition: 'ifAbsent' | 'ifPresent' | 'current' | 'stale' | undefined;
    }
  | { kind: 'repeat'; of: number }
  | { kind: 'misuse'; of: number }
  | { kind: 'restart' };

const keys = ['a', 'b', 'line\nbreak', 'tab\t', '～', '\u{1F600}', 'a/b', 'x'.repeat(1_024)];

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      pause: fc.nat(9).map((chance) => chance === 0),
      key: fc.constantFrom(...keys),
      value: fc.option(fc.string({ maxLength: 40 }), { nil: undefined, freq: 3 }),
      condition: fc.constantFrom('ifAbsent' as const, 'ifPresent' as const, 'current' as const, 'stale' as const, undefined, undefined),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('repeat' as const), of: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('misuse' as const), of: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
);

it('does what a simple model does, in bursts, with conditions, repeats, compaction and restarts', { timeout: 600_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(operation, { minLength: 1, maxLength: 12 }), { maxLength: 12 }), async (bursts) => {
      const options = optionsOf(4_096);
      let log = await openFileLog(options);
      try {
        const model = new Model();
        const sent: AppendRequest[] = [];
        for (const burst of bursts) {
          // All of a burst are in flight together; the model takes them in the order they were sent.
          const answers: Array<{ expected: Outcome; actual: Promise<Outcome> }> = [];
          for (const step of burst.filter(({ kind }) => kind !== 'restart')) {
            const request = requestOf(step, model, log, sent);
            if (step.kind === 'append' && step.pause) await turns(1);
            if (request) answers.push({ expected: model.append(request), actual: outcomeOf(log.append(request, soon())) });
          }
          for (const { expected, actual } of answers) expect(await actual).toEqual(expected);
          if (burst.some(({ kind }) => kind === 'restart')) {
            await log.compact();
            await log.close();
            log = await openFileLog(options);
          }
          await compare(log, model);
        }
      } finally {
        await log.close();
      }
    }),
    { seed: seedFromEnv(), numRuns: long ? 1_000 : 40 },
  );
});

/*
 * One log that grows old: more keys, and far more operations than any one segment holds. Repeats reach back over restarts, as far as the log
 * promises to remember.
 */
const OPERATIONS = long ? 1_000_000 : 8_000;
const REPEATABLE = long ? 5_000 : 500;

it(`does so for ${OPERATIONS} operations on one log`, { timeout: 1_800_000 }, async () => {
  const beganMs = performance.now();
  const soak = new Soak(seedFromEnv());
  await soak.run();
  const record = { at: new Date().toISOString(), ...soak.counts, seconds: Math.round(performance.now() - beganMs) / 1_000 };
  console.info(`model ${JSON.stringify(record)}`);
  if (long) keepRecord('log-model', record);
  expect(soak.counts.operations).toBeGreaterThanOrEqual(OPERATIONS);
});

class Soak {
  readonly counts;
  readonly #random: () => number;
  readonly #options = { ...optionsOf(long ? 262_144 : 16_384), dedupeCountMax: REPEATABLE };
  readonly #model = new Model();
  /** The newest requests, oldest first. */
  #sent: AppendRequest[] = [];
  #next = 0;

  constructor(seed: number) {
    this.counts = {
      seed,
      operations: 0,
      conflicts: 0,
      repeats: 0,
      misuses: 0,
      reads: 0,
      restarts: 0,
      compactions: 0,
      entries: 0,
      segments: 0,
    };
    this.#random = seededRandom(seed);
  }

  async run(): Promise<void> {
    let log = await openFileLog(this.#options);
    while (this.counts.operations < OPERATIONS) {
      // Beside the appends.
      const compacting = this.#random() < 0.03 ? log.compact() : undefined;
      await this.#burst(log);
      if (this.#random() < 0.5) await compacting;
      if (this.#random() < (long ? 0.002 : 0.03)) {
        this.counts.compactions += log.status.compaction.compactions;
        await log.close();
        log = await openFileLog(this.#options);
        this.counts.restarts++;
        expect(await allKeys(log)).toEqual(this.#model.keys);
      }
    }
    for (const key of this.#model.keys) await this.#read(log, key);
    this.counts.compactions += log.status.compaction.compactions;
    Object.assign(this.counts, { entries: log.status.keys, segments: log.status.segments });
    await log.close();
  }

  async #burst(log: FileLog): Promise<void> {
    const size = pick(this.#random, [1, 4, 16, 64, 128]);
    const expected: Outcome[] = [];
    const actual: Array<Promise<Outcome>> = [];
    for (let i = 0; i < size; i++) {
      // The rest comes while those before it are at the disk.
      if (this.#random() < 0.03) await turns(1);
      const request = this.#request(log);
      expected.push(this.#model.append(request));
      actual.push(outcomeOf(log.append(request, soon())));
    }
    expect(await Promise.all(actual)).toEqual(expected);
    this.counts.operations += size;
    this.counts.conflicts += expected.filter((outcome) => outcome === 'CONFLICT').length;
    for (const { requestId } of this.#sent.splice(0, this.#sent.length - REPEATABLE)) this.#model.forget(requestId);
    await this.#read(log, this.#key());
  }

  #request(log: FileLog): AppendRequest {
    const chance = this.#random();
    if (chance < 0.12 && this.#sent.length > 0) {
      const first = pick(this.#random, this.#sent);
      this.counts[chance < 0.1 ? 'repeats' : 'misuses']++;
      return chance < 0.1 ? first : { ...first, mutation: { kind: 'put', key: 'misused', value: bytesOf('another'), contentType: '' } };
    }
    const key = this.#key();
    const name = this.#random() < 0.4 ? pick(this.#random, ['ifAbsent', 'ifPresent', 'current', 'stale'] as const) : undefined;
    const condition = conditionOf(name, this.#model.entries.get(key)?.revision, log);
    const requestId = `r${this.#next++}`;
    const value = bytesOf(`${requestId} ${'x'.repeat(Math.floor(this.#random() ** 4 * 400))}`);
    const mutation =
      this.#random() < 0.25 ? ({ kind: 'delete', key } as const) : ({ kind: 'put', key, value, contentType: 'text/plain' } as const);
    const request = { mutation, condition, requestId };
    this.#sent.push(request);
    return request;
  }

  #key(): string {
    return `${pick(this.#random, keys.slice(0, -1))} ${Math.floor(this.#random() ** 2 * 400)}`;
  }

  async #read(log: FileLog, key: string): Promise<void> {
    const { entry } = await log.read({ key }, soon());
    expect(entry && { value: new TextDecoder().decode(entry.value), revision: entry.revision }).toEqual(this.#model.entries.get(key));
    this.counts.reads++;
  }
}

function optionsOf(segmentBytes: number): FileLogOptions {
  const compaction = { compactionGarbageBytes: 1, compactionGarbageRatio: 0.2, compactionBytesPerSecond: 1e9 };
  const fileSystem = new FaultyFileSystem(Object.assign(new MemoryDisk(), { recording: false }));
  fileSystem.fault = (operation) => (operation === 'sync' ? { wait: turns(2) } : undefined);
  return { directory: '/log', segmentBytes, pipelineAppendsMin: 4, ...compaction, fileSystem };
}

function requestOf(step: Operation, model: Model, log: FileLog, sent: AppendRequest[]): AppendRequest | undefined {
  if (step.kind === 'repeat') return sent[step.of];
  if (step.kind === 'misuse') {
    const first = sent[step.of];
    return first && { ...first, mutation: { kind: 'put', key: first.mutation.key, value: bytesOf('another'), contentType: '' } };
  }
  if (step.kind !== 'append') return undefined;
  const { key, value } = step;
  const request: AppendRequest = {
    mutation: value === undefined ? { kind: 'delete', key } : { kind: 'put', key, value: bytesOf(value), contentType: 'text/plain' },
    condition: conditionOf(step.condition, model.entries.get(key)?.revision, log),
    requestId: `r${sent.length}`,
  };
  sent.push(request);
  return request;
}

async function compare(log: FileLog, model: Model): Promise<void> {
  expect(await allKeys(log, '', 3)).toEqual(model.keys);
  for (const key of keys) {
    const { entry, asOf } = await log.read({ key }, soon());
    const expected = model.entries.get(key);
    expect(entry && { value: new TextDecoder().decode(entry.value), revision: entry.revision }).toEqual(expected);
    expect(asOf.revision).toBe(model.revision);
  }
}
