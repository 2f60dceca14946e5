import { getEventListeners } from 'node:events';
import { FakeClock } from '@diptych/kernel/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { waitMs } from './backoff.js';
import { pollUrls, type PollOptions, type StateChange } from './index.js';

/** Drawn and printed by the run; set it to repeat one. */
const seed = Number(process.env['DIPTYCH_SEED']);

/** Servers that a test scripts: each URL answers its statuses one after the other, and the last for ever. 0 refuses, -1 hangs. */
class ScriptedServers {
  readonly polledAtMs = new Map<string, number[]>();
  readonly underWay = new Map<string, number>();
  mostUnderWay = 0;
  mostUnderWayOfOne = 0;
  aborted = 0;

  constructor(
    readonly clock: FakeClock,
    readonly scripts: Record<string, number[]>,
    readonly answersAfterMs = 0,
  ) {}

  readonly probe: NonNullable<PollOptions['probe']> = async (url, { signal }) => {
    const at = this.polledAtMs.get(url.href) ?? [];
    this.polledAtMs.set(url.href, [...at, this.clock.nowMs()]);
    const script = this.scripts[url.href]!;
    const status = script[Math.min(at.length, script.length - 1)]!;
    this.underWay.set(url.href, (this.underWay.get(url.href) ?? 0) + 1);
    this.mostUnderWay = Math.max(
      this.mostUnderWay,
      [...this.underWay.values()].reduce((sum, count) => sum + count, 0),
    );
    this.mostUnderWayOfOne = Math.max(this.mostUnderWayOfOne, this.underWay.get(url.href)!);
    signal.addEventListener('abort', () => this.underWay.set(url.href, this.underWay.get(url.href)! - 1), { once: true });
    if (status === -1) {
      return new Promise((_, reject) =>
        signal.addEventListener('abort', () => (this.aborted++, reject(signal.reason as Error)), { once: true }),
      );
    }
    if (this.answersAfterMs > 0) await new Promise<void>((resolve) => void this.clock.after(this.answersAfterMs, resolve));
    if (status === 0) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    return status;
  };

  get polls(): number {
    return [...this.polledAtMs.values()].reduce((sum, { length }) => sum + length, 0);
  }
}

/** Takes changes as they come, in the background, until the polling ends. */
function collect(changes: AsyncIterable<StateChange>): { seen: StateChange[]; ended: Promise<void> } {
  const seen: StateChange[] = [];
  const ended = (async () => {
    for await (const change of changes) seen.push(change);
  })();
  ended.catch(() => undefined);
  return { seen, ended };
}

const brief = ({ from, to }: StateChange) => `${from} to ${to}`;

describe('pollUrls', () => {
  it('reports changes and nothing else, with status, reason and time', async () => {
    const clock = new FakeClock();
    const servers = new ScriptedServers(clock, { 'http://a/': [200, 204, 503, 500, 0, -1, 200] });
    const polling = pollUrls({ urls: ['http://a'], intervalMs: 100, timeoutMs: 50, backoffMaxMs: 100, clock, probe: servers.probe });
    const { seen, ended } = collect(polling);
    await clock.advanceAsync(1_000);
    const startMs = Date.UTC(2026, 0, 1);
    const [up, down, upAgain] = seen;
    expect(seen).toHaveLength(3);
    expect(up).toEqual({ url: 'http://a/', from: 'unknown', to: 'up', status: 200, atMs: startMs });
    expect(down).toMatchObject({ from: 'up', to: 'down', status: 503, reason: 'answered 503' });
    expect(upAgain).toMatchObject({ from: 'down', to: 'up', status: 200 });
    expect(upAgain!.atMs - startMs).toBeGreaterThanOrEqual(6 * 100 + 50);
    await polling.return();
    await ended;
  });

  it('asks `isUp` what an answer means', async () => {
    const clock = new FakeClock();
    const servers = new ScriptedServers(clock, { 'http://a/': [404], 'http://b/': [200] });
    const isUp = (status: number, url: string) => (url === 'http://a/' ? status === 404 : status === 201);
    const polling = pollUrls({ urls: ['http://a', 'http://b'], clock, probe: servers.probe, isUp });
    const seen = [(await polling.next()).value!, (await polling.next()).value!];
    expect(Object.fromEntries(seen.map(({ url, to }) => [url, to]))).toEqual({ 'http://a/': 'up', 'http://b/': 'down' });
    await polling.return();
  });

  it('says why a URL is down', async () => {
    const clock = new FakeClock();
    const servers = new ScriptedServers(clock, { 'http://a/': [0], 'http://b/': [-1], 'http://c/': [302] });
    const polling = pollUrls({ urls: Object.keys(servers.scripts), clock, probe: servers.probe });
    const { seen, ended } = collect(polling);
    await clock.advanceAsync(600);
    expect(Object.fromEntries(seen.map(({ url, reason }) => [url, reason]))).toEqual({
      'http://a/': 'ECONNREFUSED',
      'http://b/': 'no answer within 500 ms',
      'http://c/': 'answered 302',
    });
    expect(servers.aborted).toBeGreaterThanOrEqual(1);
    await polling.return();
    await ended;
  });

  it('backs off from a URL that stays down, with a jitter that its seed repeats, and comes back to the interval when it is up', async () => {
    const run = async () => {
      const clock = new FakeClock();
      const servers = new ScriptedServers(clock, { 'http://a/': [0, 0, 0, 0, 0, 0, 200] });
      const polling = pollUrls({ urls: ['http://a'], intervalMs: 100, backoffMaxMs: 1_000, seed, clock, probe: servers.probe });
      const { ended } = collect(polling);
      await clock.advanceAsync(6_000);
      await polling.return();
      await ended;
      const atMs = servers.polledAtMs.get('http://a/')!;
      return atMs.slice(1).map((thisMs, index) => thisMs - atMs[index]!);
    };
    const waitsMs = await run();
    for (const [index, ceilingMs] of [200, 400, 800, 1_000, 1_000, 1_000].entries()) {
      expect(waitsMs[index]).toBeGreaterThanOrEqual(ceilingMs / 2);
      expect(waitsMs[index]).toBeLessThanOrEqual(ceilingMs + 5);
    }
    for (const waitMs of waitsMs.slice(6)) expect(waitMs).toBeLessThanOrEqual(105);
    expect(await run()).toEqual(waitsMs);
    expect(waitMs(5_000, { intervalMs: 100, backoffMaxMs: 1_000 }, () => 1)).toBe(1_000);
  });

  it('polls with all its pollers, a URL with one of them at a time, and a duplicate once', async () => {
    const clock = new FakeClock();
    const urls = Array.from({ length: 20 }, (_, index) => `http://server-${index}/`);
    const servers = new ScriptedServers(clock, Object.fromEntries(urls.map((url) => [url, [200, 500, 200, 0]])), 30);
    // Slower to answer than the interval, so that a URL is due again while others still wait for a poller.
    const polling = pollUrls({ urls: [...urls, ...urls, 'http://server-3#part'], pollers: 3, intervalMs: 10, clock, probe: servers.probe });
    const { ended } = collect(polling);
    await clock.advanceAsync(3_000);
    expect([servers.mostUnderWay, servers.mostUnderWayOfOne, servers.polledAtMs.size]).toEqual([3, 1, 20]);
    await polling.return();
    await ended;
  });

  it('takes URLs from an asynchronous source as they come, duplicates once', async () => {
    const clock = new FakeClock();
    const servers = new ScriptedServers(clock, { 'http://a/': [200], 'http://b/': [200] });
    const source = async function* () {
      yield 'http://a';
      await new Promise<void>((resolve) => void clock.after(2_000, resolve));
      yield* ['http://a/#part', new URL('http://b')];
    };
    const polling = pollUrls({ urls: source(), intervalMs: 1_000, clock, probe: servers.probe });
    const { seen, ended } = collect(polling);
    await clock.advanceAsync(1_900);
    expect(seen.map(({ url }) => url)).toEqual(['http://a/']);
    await clock.advanceAsync(2_000);
    expect(seen.map(({ url }) => url)).toEqual(['http://a/', 'http://b/']);
    expect(servers.polledAtMs.get('http://a/')).toHaveLength(4);
    await polling.return();
    await ended;
  });

  it('stands still, and loses nothing, while its consumer takes no changes', async () => {
    const clock = new FakeClock();
    const urls = Array.from({ length: 50 }, (_, index) => `http://server-${index}/`);
    const flapping = Array.from({ length: 10_000 }, (_, index) => (index % 2 === 0 ? 200 : 503));
    const servers = new ScriptedServers(clock, Object.fromEntries(urls.map((url) => [url, flapping])));
    const polling = pollUrls({ urls, pollers: 4, intervalMs: 10, changesMax: 16, clock, probe: servers.probe });
    const seen = [(await polling.next()).value!];
    await clock.advanceAsync(1_000, 10);
    const polls = servers.polls;
    // One was taken, 16 wait in `changes`, one with the collector, 4 in `polled`, one with each of the 4 pollers.
    expect(polls).toBe(1 + 16 + 1 + 4 + 4);
    await clock.advanceAsync(10_000, 100);
    expect(servers.polls).toBe(polls);
    for (let count = 0; count < 500; count++) {
      const [change] = await Promise.all([polling.next(), clock.advanceAsync(5)]);
      seen.push(change.value!);
    }
    for (const url of urls) {
      const ofUrl = seen.filter((change) => change.url === url).map(brief);
      expect(ofUrl).toEqual(ofUrl.map((_, index) => (index === 0 ? 'unknown to up' : index % 2 === 1 ? 'up to down' : 'down to up')));
    }
    await polling.return();
  });

  it('gives for any script, any number of pollers and any order of answers exactly the changes of each script', async () => {
    const status = fc.constantFrom(200, 200, 204, 503, 0);
    const scripts = fc.array(fc.array(status, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 8 });
    const run = fc.asyncProperty(
      scripts,
      fc.integer({ min: 1, max: 4 }),
      fc.nat(3),
      fc.nat(40),
      async (scripts, pollers, changesMax, answersAfterMs) => {
        const clock = new FakeClock();
        const byUrl = Object.fromEntries(scripts.map((script, index) => [`http://server-${index}/`, script]));
        const servers = new ScriptedServers(clock, byUrl, answersAfterMs);
        const polling = pollUrls({
          urls: Object.keys(byUrl),
          pollers,
          changesMax,
          intervalMs: 20,
          backoffMaxMs: 40,
          seed,
          clock,
          probe: servers.probe,
        });
        const { seen, ended } = collect(polling);
        await clock.advanceAsync(5_000);
        for (const [url, script] of Object.entries(byUrl)) {
          expect(servers.polledAtMs.get(url)!.length).toBeGreaterThan(script.length);
          const states = ['unknown', ...script.map((status) => (status >= 200 && status <= 299 ? 'up' : 'down'))];
          const changes = states.slice(1).flatMap((to, index) => (states[index] === to ? [] : [`${states[index]} to ${to}`]));
          expect(seen.filter((change) => change.url === url).map(brief)).toEqual(changes);
        }
        await polling.return();
        await ended;
        // Answers scripted to come later are timers of the scripts.
        clock.advance(answersAfterMs);
        expect(clock.pending).toBe(0);
      },
    );
    await fc.assert(run, { seed, numRuns: 15 });
  });
});

describe('the end of the polling', () => {
  it.each(['its signal', 'return'])('by %s comes at once, whatever is under way, and leaves nothing', async (how) => {
    const clock = new FakeClock();
    const urls = Array.from({ length: 30 }, (_, index) => `http://server-${index}/`);
    const servers = new ScriptedServers(clock, Object.fromEntries(urls.map((url, index) => [url, index < 20 ? [200] : [-1]])));
    const controller = new AbortController();
    const polling = pollUrls({ urls, pollers: 4, changesMax: 2, clock, probe: servers.probe, signal: controller.signal });
    expect(clock.pending).toBe(0);
    for (let count = 0; count < 20; count++) expect((await polling.next()).value?.to).toBe('up');
    await clock.advanceAsync(0);
    expect([servers.mostUnderWay, getEventListeners(controller.signal, 'abort').length]).toEqual([4, 1]);
    const polls = servers.polls;
    const waiting = polling.next();
    if (how === 'its signal') controller.abort();
    else await polling.return();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expect([servers.aborted, clock.pending, getEventListeners(controller.signal, 'abort').length]).toEqual([4, 0, 0]);
    await clock.advanceAsync(10_000);
    expect(servers.polls).toBe(polls);
    expect(await polling.next()).toEqual({ done: true, value: undefined });
  });

  it('does not wait for a consumer that takes no changes', async () => {
    const clock = new FakeClock();
    const urls = Array.from({ length: 50 }, (_, index) => `http://server-${index}/`);
    const servers = new ScriptedServers(clock, Object.fromEntries(urls.map((url) => [url, [200]])));
    const controller = new AbortController();
    const polling = pollUrls({ urls, changesMax: 1, clock, probe: servers.probe, signal: controller.signal });
    await polling.next();
    await clock.advanceAsync(100);
    controller.abort();
    await clock.advanceAsync(0);
    expect(clock.pending).toBe(0);
    expect(await polling.next()).toEqual({ done: true, value: undefined });
  });

  it('does not wait for a probe that minds no signal, nor for a source that hangs', async () => {
    const clock = new FakeClock();
    const hanging = async function* () {
      yield 'http://a/';
      await new Promise(() => undefined);
    };
    const polling = pollUrls({ urls: hanging(), clock, probe: () => new Promise(() => undefined), timeoutMs: 100 });
    const first = polling.next();
    await clock.advanceAsync(110);
    expect((await first).value).toMatchObject({ to: 'down', reason: 'no answer within 100 ms' });
    await polling.return();
    expect(clock.pending).toBe(0);
  });

  it('has come before it began, when its signal is aborted already', async () => {
    const clock = new FakeClock();
    const servers = new ScriptedServers(clock, { 'http://a/': [200] });
    const { seen, ended } = collect(pollUrls({ urls: ['http://a'], clock, probe: servers.probe, signal: AbortSignal.abort() }));
    await ended;
    expect([seen.length, servers.polls]).toEqual([0, 0]);
  });
});

describe('bad input', () => {
  it.each([
    ['not a url', '"not a url" is not a URL to poll; write http://host:port/path'],
    ['localhost:8080/health', 'localhost:8080/health cannot be polled: only http and https can'],
    ['ftp://host/', 'ftp://host/ cannot be polled: only http and https can'],
    ['http://me:secret@host/', 'a URL of host cannot be polled: it carries credentials'],
  ])('%s is refused in one sentence', (url, message) => {
    expect(() => pollUrls({ urls: ['http://a', url] })).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST', message }));
  });

  it.each([
    { pollers: 0 },
    { pollers: 1.5 },
    { intervalMs: 0 },
    { intervalMs: NaN },
    { timeoutMs: Infinity },
    { backoffMaxMs: 10 },
    { seed: -1 },
  ])('the option %o is refused by its name', (options) => {
    expect(() => pollUrls({ urls: ['http://a'], ...options })).toThrow(Object.keys(options)[0]);
  });

  it('an empty list is refused', () => {
    expect(() => pollUrls({ urls: [] })).toThrow('there is no URL to poll');
  });

  it.each([
    ['a bad URL', ['http://a/', 'nonsense'], 'is not a URL to poll'],
    ['nothing', [], 'there is no URL to poll'],
    ['too many', ['http://a/', 'http://b/', 'http://c/'], 'more than 2 URLs'],
  ])('a source that gives %s ends the polling with the error', async (_, urls, message) => {
    const clock = new FakeClock();
    let returned = false;
    const source = async function* () {
      try {
        yield* urls;
      } finally {
        returned = true;
      }
    };
    const probe = async () => 200;
    const { ended } = collect(pollUrls({ urls: source(), urlsMax: 2, clock, probe }));
    await expect(ended).rejects.toThrow(message);
    expect([clock.pending, returned]).toEqual([0, true]);
  });

  it('an `isUp` that throws ends the polling with its error', async () => {
    const clock = new FakeClock();
    const isUp = () => {
      throw new Error('its own');
    };
    const polling = pollUrls({ urls: ['http://a'], clock, probe: async () => 200, isUp });
    await expect(polling.next()).rejects.toThrow('its own');
    expect(await polling.next()).toEqual({ done: true, value: undefined });
    expect(clock.pending).toBe(0);
  });
});
