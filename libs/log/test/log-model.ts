import type { FileLog } from '../src/engine/file-log.js';
import type { AppendReply, AppendRequest, Condition } from '../src/log.port.js';

export type Outcome = { readonly revision: number; readonly existed: boolean } | 'CONFLICT' | 'INVALID_REQUEST';

/** The log as it is meant, without a disk. */
export class Model {
  readonly entries = new Map<string, { readonly value: string; readonly revision: number }>();
  revision = 0;
  readonly #answers = new Map<string, { readonly request: AppendRequest; readonly outcome: Outcome }>();

  append(request: AppendRequest): Outcome {
    const known = this.#answers.get(request.requestId);
    if (known) return isSame(known.request, request) ? known.outcome : 'INVALID_REQUEST';
    const { mutation, condition } = request;
    const current = this.entries.get(mutation.key);
    if (condition && !holds(condition, current?.revision)) return 'CONFLICT';
    const outcome = { revision: ++this.revision, existed: current !== undefined };
    if (mutation.kind === 'put')
      this.entries.set(mutation.key, { value: new TextDecoder().decode(mutation.value), revision: this.revision });
    else this.entries.delete(mutation.key);
    this.#answers.set(request.requestId, { request, outcome });
    return outcome;
  }

  /** Forgets what an id was used for, as the log may after its window. Then it must not be used again. */
  forget(requestId: string): void {
    this.#answers.delete(requestId);
  }

  /** In the order of their UTF-8 bytes. */
  get keys(): string[] {
    return [...this.entries.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  }
}

/** A condition that holds now, or never does, or depends. */
export function conditionOf(
  name: 'ifAbsent' | 'ifPresent' | 'current' | 'stale' | undefined,
  revision: number | undefined,
  log: FileLog,
): Condition | undefined {
  if (name === undefined) return undefined;
  if (name === 'ifAbsent' || name === 'ifPresent') return { kind: name };
  const wanted = name === 'current' ? (revision ?? 1) : (revision ?? 0) + 1_000_000_000;
  return { kind: 'ifRevision', anyOf: [{ incarnation: log.incarnation, partition: 0, revision: wanted }] };
}

export async function outcomeOf(append: Promise<AppendReply>): Promise<Outcome> {
  try {
    const { position, existed } = await append;
    return { revision: position.revision, existed };
  } catch (error) {
    return (error as { code: 'CONFLICT' }).code;
  }
}

/** A misuse of an id that was not remembered is a request like others, and may be repeated. */
function isSame(a: AppendRequest, b: AppendRequest): boolean {
  return a === b || contentOf(a) === contentOf(b);
}

function contentOf({ mutation, condition }: AppendRequest): string {
  const { kind, key } = mutation;
  return JSON.stringify([kind, key, kind === 'put' && [...mutation.value], kind === 'put' && mutation.contentType, condition]);
}

function holds(condition: Condition, revision: number | undefined): boolean {
  if (condition.kind === 'ifAbsent') return revision === undefined;
  if (condition.kind === 'ifPresent') return revision !== undefined;
  return condition.anyOf.some((position) => position.revision === revision);
}
