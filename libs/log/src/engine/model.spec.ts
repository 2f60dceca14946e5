import { seedFromEnv, tempDir } from '@diptych/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FaultyFileSystem } from '../../test/faulty-file-system.js';
import { allKeys, bytesOf, soon } from '../../test/log-fixture.js';
import type { AppendReply, AppendRequest, Condition } from '../log.port.js';
import type { FileLog } from './file-log.js';
import { openFileLog } from './file-log.js';

type Operation =
  | { kind: 'append'; key: string; value: string | undefined; condition: 'ifAbsent' | 'ifPresent' | 'current' | 'stale' | undefined }
  | { kind: 'repeat'; of: number }
  | { kind: 'misuse'; of: number }
  | { kind: 'restart' };

/** The log as it is meant, without a disk. */
class Model {
  readonly entries = new Map<string, { value: string; revision: number }>();
  revision = 0;
  readonly answers = new Map<string, { request: AppendRequest; outcome: Outcome }>();

  append(request: AppendRequest): Outcome {
    const known = this.answers.get(request.requestId);
    if (known) return known.request === request ? known.outcome : 'INVALID_REQUEST';
    const { mutation, condition } = request;
    const current = this.entries.get(mutation.key);
    if (condition && !holds(condition, current?.revision)) return 'CONFLICT';
    const outcome = { revision: ++this.revision, existed: current !== undefined };
    if (mutation.kind === 'put')
      this.entries.set(mutation.key, { value: new TextDecoder().decode(mutation.value), revision: this.revision });
    else this.entries.delete(mutation.key);
    this.answers.set(request.requestId, { request, outcome });
    return outcome;
  }
}

type Outcome = { revision: number; existed: boolean } | 'CONFLICT' | 'INVALID_REQUEST';

function holds(condition: Condition, revision: number | undefined): boolean {
  if (condition.kind === 'ifAbsent') return revision === undefined;
  if (condition.kind === 'ifPresent') return revision !== undefined;
  return condition.anyOf.some((position) => position.revision === revision);
}

const keys = ['a', 'b', 'line\nbreak', 'tab\t', '～', '\u{1F600}', 'a/b', 'x'.repeat(1_024)];

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      key: fc.constantFrom(...keys),
      value: fc.option(fc.string({ maxLength: 40 }), { nil: undefined, freq: 3 }),
      condition: fc.constantFrom('ifAbsent' as const, 'ifPresent' as const, 'current' as const, 'stale' as const, undefined, undefined),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('repeat' as const), of: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('misuse' as const), of: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
);

it('does what a simple model does, in bursts, with conditions, repeats and restarts', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(operation, { minLength: 1, maxLength: 12 }), { maxLength: 12 }), async (bursts) => {
      await using directory = await tempDir('diptych-log-');
      const options = {
        directory: directory.path,
        segmentBytes: 4_096,
        fileSystem: Object.assign(new FaultyFileSystem(), { syncs: false }),
      };
      let log = await openFileLog(options);
      try {
        const model = new Model();
        const sent: AppendRequest[] = [];
        for (const burst of bursts) {
          // All of a burst are in flight together; the model takes them in the order they were sent.
          const answers: Array<{ expected: Outcome; actual: Promise<Outcome> }> = [];
          for (const step of burst.filter(({ kind }) => kind !== 'restart')) {
            const request = requestOf(step, model, log, sent);
            if (request) answers.push({ expected: model.append(request), actual: outcomeOf(log.append(request, soon())) });
          }
          for (const { expected, actual } of answers) expect(await actual).toEqual(expected);
          if (burst.some(({ kind }) => kind === 'restart')) {
            await log.close();
            log = await openFileLog(options);
          }
          await compare(log, model);
        }
      } finally {
        await log.close();
      }
    }),
    { seed: seedFromEnv(), numRuns: 40 },
  );
});

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

function conditionOf(
  name: Extract<Operation, { kind: 'append' }>['condition'],
  revision: number | undefined,
  log: FileLog,
): Condition | undefined {
  if (name === undefined) return undefined;
  if (name === 'ifAbsent' || name === 'ifPresent') return { kind: name };
  const wanted = name === 'current' ? (revision ?? 1) : (revision ?? 0) + 1_000;
  return { kind: 'ifRevision', anyOf: [{ incarnation: log.incarnation, partition: 0, revision: wanted }] };
}

async function outcomeOf(append: Promise<AppendReply>): Promise<Outcome> {
  try {
    const { position, existed } = await append;
    return { revision: position.revision, existed };
  } catch (error) {
    return (error as { code: 'CONFLICT' }).code;
  }
}

async function compare(log: FileLog, model: Model): Promise<void> {
  expect(await allKeys(log, '', 3)).toEqual([...model.entries.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
  for (const key of keys) {
    const { entry, asOf } = await log.read({ key }, soon());
    const expected = model.entries.get(key);
    expect(entry && { value: new TextDecoder().decode(entry.value), revision: entry.revision }).toEqual(expected);
    expect(asOf.revision).toBe(model.revision);
  }
}
