import type { CallContext } from '@diptych/kernel';
import type { Subscription } from '@diptych/messaging';

/**
 * The log: the durable, ordered record of all mutations, and the only source of truth.
 *
 * Every method may throw DEADLINE_EXCEEDED, CANCELLED, OVERLOADED, UNAVAILABLE, CONNECTION_LOST (over NATS only),
 * INVALID_REQUEST (a key or bound outside the contract) and INTERNAL, besides what it names itself.
 */
export interface LogPort {
  /**
   * Makes one mutation durable. Resolves only when it is on stable storage, visible to `read` and announced on `commits`,
   * all in one synchronous step; nobody ever reads what is not yet durable.
   *
   * Conditions see appends that are still pending, which then fail or succeed together with what they depend on.
   *
   * Safe to repeat with the same `requestId` within the dedupe window, which survives restarts: the repeat gets the first
   * answer. A failed condition is not remembered. Deleting an absent key without a condition is recorded as any mutation is
   * (a repeat must get the same answer) and answers `existed: false`.
   *
   * @throws CONFLICT when the condition does not hold; INVALID_REQUEST when the `requestId` was used with another
   *   mutation; TOO_LARGE; STORAGE_FULL
   */
  append(request: AppendRequest, context: CallContext): Promise<AppendReply>;

  /** The newest durable entry of a key, or its absence: absence is a value, not an error. Safe to repeat. */
  read(request: ReadRequest, context: CallContext): Promise<ReadReply>;

  /** Keys that begin with `prefix` and sort after `after`, in order of their UTF-8 bytes, at most `limit`. Safe to repeat. */
  list(request: ListRequest, context: CallContext): Promise<ListReply>;

  /** Counts, sizes, a content hash and n-gram statistics over the values under a prefix. CPU-heavy, deterministic. Safe to repeat. */
  report(request: ReportRequest, context: CallContext): Promise<Report>;

  /**
   * One page of the mutations after a position, for catching up. Answers `resync` when the position is of another incarnation, older
   * than what the log still knows, or newer than its head: the reader drops what it holds and goes on from `head`. Safe to repeat.
   */
  committed(request: CommittedRequest, context: CallContext): Promise<CommittedPage>;

  /** Every commit as it happens, and a beacon every 100 ms. Use `follow` to get the stream without gaps. */
  commits(listener: (event: CommitEvent) => void): Promise<Subscription>;
}

/** A place in the history of one partition of one incarnation. Revisions of two partitions or incarnations are never compared. */
export interface Position {
  /** Made when a log is created: 16 lower-case hexadecimal digits. A copy of a log's directory keeps it. */
  readonly incarnation: string;
  readonly partition: number;
  /** A safe integer; the first mutation has 1; 0 is the empty log. */
  readonly revision: number;
}

export interface Entry {
  readonly key: string;
  /** Read-only by promise: whoever wants to change it copies it. */
  readonly value: Uint8Array;
  readonly contentType: string;
  /** Of the mutation that wrote it. */
  readonly revision: number;
}

export type Mutation =
  | { readonly kind: 'put'; readonly key: string; readonly value: Uint8Array; readonly contentType: string }
  | { readonly kind: 'delete'; readonly key: string };

export type Condition =
  | { readonly kind: 'ifAbsent' }
  | { readonly kind: 'ifPresent' }
  /** The key's entry was written by one of these (at most 16). Positions of other incarnations or partitions never match. */
  | { readonly kind: 'ifRevision'; readonly anyOf: readonly Position[] };

export interface AppendRequest {
  readonly mutation: Mutation;
  readonly condition?: Condition | undefined;
  /** 1 to 128 printable ASCII characters, unique per operation. */
  readonly requestId: string;
}

export interface AppendReply {
  readonly position: Position;
  /** Whether the key was there before: a put that created answers false. */
  readonly existed: boolean;
}

export interface ReadRequest {
  readonly key: string;
}

export interface ReadReply {
  /** Undefined when the key is absent. */
  readonly entry?: Entry | undefined;
  /** The state of the partition that this answer shows. */
  readonly asOf: Position;
}

export interface ListRequest {
  readonly prefix: string;
  /** Exclusive. Undefined: from the beginning. */
  readonly after?: string | undefined;
  /** 1 to 1,000. */
  readonly limit: number;
}

export interface ListReply {
  readonly keys: ReadonlyArray<{ readonly key: string; readonly revision: number; readonly bytes: number }>;
  /** Give it as `after` to go on. Undefined: nothing is left. */
  readonly next?: string | undefined;
}

export interface ReportRequest {
  readonly prefix: string;
}

export interface Report {
  readonly asOf: Position;
  readonly entries: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  /** `sizes[i]` counts the values of 2^(i-1) to 2^i - 1 bytes; `sizes[0]` the empty ones. */
  readonly sizes: readonly number[];
  /** SHA-256 over keys and values in key order, in hexadecimal. */
  readonly contentHash: string;
  /** The most frequent byte trigrams of the values, most frequent first, ties by bytes; at most 16. */
  readonly topTrigrams: ReadonlyArray<{ readonly trigramHex: string; readonly count: number }>;
}

export interface CommittedRequest {
  readonly after: Position;
  /** 1 to 10,000. */
  readonly limit: number;
}

export type CommittedPage =
  | { readonly kind: 'page'; readonly commits: readonly Commit[]; readonly head: Position; readonly sentWallMs: number }
  | {
      readonly kind: 'resync';
      readonly head: Position;
      /** When the log answered, by its wall clock, the one of the beacons: so a reader can tell when those were sent by its own. */
      readonly sentWallMs: number;
    };

/** That a key changed, not what to: a cache drops it. (Why not the value: ADR 0003.) */
export interface Commit {
  readonly key: string;
  readonly revision: number;
  /** The revision of the partition's commit before this one; 0 for the first. A reader that stands elsewhere has a gap. */
  readonly previous: number;
  readonly deleted: boolean;
}

export type CommitEvent =
  | { readonly kind: 'commit'; readonly incarnation: string; readonly partition: number; readonly commit: Commit }
  /** Where the log's head is, and when the log said so, by the log's wall clock. */
  | { readonly kind: 'beacon'; readonly head: Position; readonly sentWallMs: number };

/** Bounds of the contract, the same in every arm. */
export const KEY_BYTES_MAX = 1_024;
export const VALUE_BYTES_MAX = 1_000_000;
export const CONTENT_TYPE_BYTES_MAX = 256;
export const REQUEST_ID_CHARS_MAX = 128;
export const LIST_LIMIT_MAX = 1_000;
export const COMMITTED_LIMIT_MAX = 10_000;
export const BEACON_PERIOD_MS = 100;
