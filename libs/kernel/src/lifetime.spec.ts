import { describe, expect, it, vi } from 'vitest';
import { Lifetime } from './lifetime.js';
import { FakeClock } from './testing/index.js';

const never = () => new Promise<void>(() => undefined);

describe('Lifetime', () => {
  it('ends what it owns in reverse order, each after the one before has ended, and tells loops at once', async () => {
    const lifetime = new Lifetime('part');
    const events: string[] = [];
    lifetime.own('disposable', { [Symbol.dispose]: () => void events.push('disposable') });
    lifetime.own('async disposable', {
      [Symbol.asyncDispose]: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        events.push('async disposable');
      },
    });
    lifetime.own('function', () => void events.push('function'));
    lifetime.signal.addEventListener('abort', () => events.push('signal'));
    expect(lifetime.owned).toEqual(['disposable', 'async disposable', 'function']);
    await lifetime.close();
    expect(events).toEqual(['signal', 'function', 'async disposable', 'disposable']);
    expect(lifetime.owned).toEqual([]);
  });

  it('goes on past what fails, at once or later, and names all of it in the end', async () => {
    const lifetime = new Lifetime('part');
    const last = vi.fn();
    lifetime.own('first', last);
    lifetime.own('throws', () => {
      throw new Error('at once');
    });
    lifetime.own('rejects', async () => Promise.reject(new Error('later')));
    const failure = await lifetime.close().catch((error: unknown) => error);
    expect(failure).toMatchObject({
      message: 'part: rejects, throws did not end cleanly',
      errors: [{ message: 'later' }, { message: 'at once' }],
    });
    expect(last).toHaveBeenCalledOnce();
  });

  it('shares one grace time among all, and still tries those for whom nothing is left of it', async () => {
    const clock = new FakeClock();
    const lifetime = new Lifetime('part', { clock });
    const first = vi.fn();
    lifetime.own('first', first);
    lifetime.own('hangs too', never);
    lifetime.own('hangs', never);
    const closing = lifetime.close(1_000).catch((error: unknown) => error);
    await clock.advanceAsync(1_000);
    expect(await closing).toMatchObject({ errors: [{ code: 'DEADLINE_EXCEEDED', message: 'part: hangs did not end within 1000 ms' }, {}] });
    expect(clock.nowMs()).toBe(1_000);
    expect(first).toHaveBeenCalledOnce();
    expect(clock.pending).toBe(0);
  });

  it('closes at once what is offered after closing began, and refuses it', async () => {
    const lifetime = new Lifetime('part');
    const closing = lifetime.close();
    const late = vi.fn();
    expect(() => lifetime.own('late', late)).toThrow('part is closing; late was not started');
    expect(late).toHaveBeenCalledOnce();
    const failsToEnd = () => {
      throw new Error('its own');
    };
    expect(() => lifetime.own('late', failsToEnd)).toThrow('part is closing; late was not started');
    const loop = vi.fn(never);
    expect(() => lifetime.spawn('loop', loop, () => undefined)).toThrow('loop was not started');
    expect(loop).not.toHaveBeenCalled();
    await closing;
  });

  it('closing again, even in answer to the signal, waits for the first closing', async () => {
    const lifetime = new Lifetime('part');
    const end = vi.fn(async () => new Promise<void>((resolve) => setImmediate(resolve)));
    lifetime.own('thing', end);
    let again: Promise<void> | undefined;
    lifetime.signal.addEventListener('abort', () => {
      again = lifetime.close();
      expect(() => lifetime.own('in answer', () => undefined)).toThrow('is closing');
    });
    const closing = lifetime.close();
    expect(again).toBe(closing);
    expect(lifetime.close()).toBe(closing);
    await closing;
    expect(end).toHaveBeenCalledOnce();
  });

  it('disowns without ending', async () => {
    const lifetime = new Lifetime('part');
    const end = vi.fn();
    lifetime.own('thing', end);
    expect([lifetime.disown(end), lifetime.disown(end)]).toEqual([true, false]);
    await lifetime.close();
    expect(end).not.toHaveBeenCalled();
  });
});

describe('loops of a lifetime', () => {
  it('are told to stop and waited for', async () => {
    const lifetime = new Lifetime('part');
    const events: string[] = [];
    const onFailure = vi.fn();
    lifetime.spawn(
      'loop',
      async (signal) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        await new Promise((resolve) => setImmediate(resolve));
        events.push('loop ended');
        throw new Error('after closing began');
      },
      onFailure,
    );
    await lifetime.close();
    events.push('closed');
    expect(events).toEqual(['loop ended', 'closed']);
    expect(onFailure).not.toHaveBeenCalled();
  });

  it('report a failure, also of their first step, and are no longer owned once they ended', async () => {
    const lifetime = new Lifetime('part');
    const failures: unknown[] = [];
    lifetime.spawn(
      'fails later',
      async () => Promise.reject(new Error('later')),
      (error) => failures.push(error),
    );
    const failsAtOnce = () => {
      throw new Error('at once');
    };
    lifetime.spawn('fails at once', failsAtOnce, (error) => failures.push(error));
    for (let count = 0; count < 1_000; count++)
      lifetime.spawn(
        'short',
        async () => undefined,
        (error) => failures.push(error),
      );
    await new Promise((resolve) => setImmediate(resolve));
    expect(failures.map((error) => (error as Error).message).sort()).toEqual(['at once', 'later']);
    expect(lifetime.owned).toEqual([]);
    await lifetime.close();
  });
});
