import type { Position } from './log.port.js';

/**
 * A position as clients see it: opaque text, `<incarnation>-<partition>-<revision>`, of letters, digits and hyphens only, so
 * that it fits a header, an `ETag` and a URL as it is.
 */
export function formatPosition(position: Position): string {
  return `${position.incarnation}-${position.partition}-${position.revision}`;
}

/** The position a text stands for; undefined for anything that `formatPosition` would not have written. Never throws. */
export function parsePosition(text: string): Position | undefined {
  const match = TOKEN.exec(text);
  if (!match) return undefined;
  const partition = Number(match[2]);
  const revision = Number(match[3]);
  if (partition > PARTITION_MAX || !Number.isSafeInteger(revision)) return undefined;
  return { incarnation: match[1]!, partition, revision };
}

/** Partitions are numbered from 0; there are never more than this many. */
export const PARTITION_MAX = 65_535;

/** Of no log: a position of this incarnation is answered with RESYNC, which is how a reader asks where the head is. */
export const NO_INCARNATION = '0000000000000000';

export const INCARNATION_PATTERN = /^[0-9a-f]{16}$/;

const TOKEN = /^([0-9a-f]{16})-(0|[1-9][0-9]{0,4})-(0|[1-9][0-9]{0,15})$/;
