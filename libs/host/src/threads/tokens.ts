import type { PortDescriptor, ThreadLink } from '@diptych/messaging';
import type { Token } from '../tokens.js';

/** For the parts in the main thread of a process of several: what they do for the others. */
export interface OtherThreads {
  /** Answers for a port of this thread in all others. */
  serve<Port>(descriptor: PortDescriptor<Port>, implementation: Port): void;
  /** Gives something to all of them that can be shared or cloned, before their parts start. @throws RangeError when the name is taken */
  share(name: string, value: unknown): void;
  /** Hears of each thread that has ended, however, by the `threadId` it had. */
  onExit(listener: (threadId: number) => void): void;
}

export const OTHER_THREADS: Token<OtherThreads> = Symbol('OTHER_THREADS');

/** For the parts in the other threads: the main one. */
export interface MainThread {
  readonly link: ThreadLink;
  /** What it has shared under this name. @throws RangeError when there is nothing */
  shared(name: string): unknown;
}

export const MAIN_THREAD: Token<MainThread> = Symbol('MAIN_THREAD');
