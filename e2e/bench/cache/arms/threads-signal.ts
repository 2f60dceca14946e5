/** What a thread of the row `threads` is given. */
export interface ThreadData {
  readonly memories: readonly SharedArrayBuffer[];
  /** By `Signal`. */
  readonly signal: Int32Array;
  readonly seed: number;
  /** What to do in each course; nothing is to rest. */
  readonly courses: ReadonlyArray<Course | undefined>;
}

/** One cache, and the keys that are used there: so many, of all those there are, from the first of them on. */
export interface Course {
  readonly cache: number;
  readonly first: number;
  readonly keys: number;
}

export const Signal = {
  /** `WAIT`, `END`, or a `turnOf`. */
  TURN: 0,
  /** Threads that still run. */
  RUNNING: 1,
  /** Done by all in this course. */
  OPERATIONS: 2,
  /** Look-ups that missed, or brought another's value. */
  WRONG: 3,
} as const;

export const WAIT = 0;
export const END = -1;

/** Whose turn it is: no two are the same. */
export function turnOf(turns: number, course: number): number {
  return turns * COURSES_MAX + course;
}

export function courseOf(turn: number): number {
  return turn % COURSES_MAX;
}

const COURSES_MAX = 8;
