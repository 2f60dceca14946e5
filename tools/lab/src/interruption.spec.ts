import { afterEach, expect, it, vi } from 'vitest';
import { interruption } from './interruption.js';

afterEach(() => vi.restoreAllMocks());

it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('aborts at the first %s and says so', (name) => {
  const notes: string[] = [];
  using interrupt = interruption((line) => notes.push(line));
  expect(interrupt.signal.aborted).toBe(false);
  process.emit(name, name);
  expect(interrupt.signal.aborted).toBe(true);
  expect(notes).toEqual([expect.stringContaining(`${name}: ending what was started`)]);
});

it('ends at once at a second signal, but not at the same one passed on by another', () => {
  vi.useFakeTimers();
  try {
    const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
    using _interrupt = interruption(() => undefined);
    process.emit('SIGINT', 'SIGINT');
    vi.advanceTimersByTime(400);
    process.emit('SIGINT', 'SIGINT');
    expect(exit).not.toHaveBeenCalled();
    vi.advanceTimersByTime(200);
    process.emit('SIGINT', 'SIGINT');
    expect(exit).toHaveBeenCalledWith(2);
  } finally {
    vi.useRealTimers();
  }
});

it('listens no longer than it is held', () => {
  const before = process.listenerCount('SIGINT');
  {
    using _interrupt = interruption(() => undefined);
    expect(process.listenerCount('SIGINT')).toBe(before + 1);
  }
  expect(process.listenerCount('SIGINT')).toBe(before);
});
