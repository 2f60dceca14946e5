import { once } from 'node:events';
import { createServer, connect, type AddressInfo } from 'node:net';
import { freePort, waitFor } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import { eventsOf, runTiny, startTiny, untilSaid, urlOf } from './tiny-process.js';

describe.concurrent('a process', { timeout: 180_000 }, () => {
  it('says once that it is ready, and ends cleanly on SIGTERM', async () => {
    await using tiny = await startTiny({ DIPTYCH_TELEMETRY_LEVEL: 'silent' });
    const lines = tiny.stdout.split('\n').filter((line) => line.includes('"ready"'));
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!)).toMatchObject({
      event: 'ready',
      name: 'tiny',
      pid: tiny.pid,
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    });
    expect((await fetch(`${urlOf(tiny)}/health/ready`)).status).toBe(200);
    await tiny.kill('SIGTERM');
    expect(await tiny.exited).toEqual({ code: 0, signal: null });
    expect(eventsOf(tiny)).toEqual(['part opened', 'ready', 'signalled', 'module destroyed', 'part closed']);
    expect(tiny.stderr).toBe('');
  });

  // With a drain of ten minutes, so that whatever holds the stop up without reason shows.
  const patient = { DIPTYCH_HTTP_DRAIN_MS: '600000', DIPTYCH_HOST_STOP_MS: '600000' };

  it('answers what it has accepted before it ends, and accepts no more', async () => {
    await using tiny = await startTiny(patient);
    const url = urlOf(tiny);
    const slow = fetch(`${url}/do/slow`);
    await untilSaid(tiny, 'slow begun');
    // Kept alive and idle, or connected and silent: neither is waited for.
    await fetch(`${url}/health/live`).then((response) => response.text());
    const silent = connect(Number(new URL(url).port), '127.0.0.1');
    await once(silent, 'connect');
    await tiny.kill('SIGTERM');
    await untilSaid(tiny, 'stopping');
    await waitFor(() =>
      fetch(`${url}/health/live`).then(
        () => false,
        () => true,
      ),
    );
    expect(eventsOf(tiny)).not.toContain('part closed');
    await tiny.kill('SIGUSR2');
    const response = await slow;
    expect(response.headers.get('connection')).toBe('close');
    expect(await response.text()).toBe('slow done');
    expect(await tiny.exited).toEqual({ code: 0, signal: null });
    expect(eventsOf(tiny).slice(-3)).toEqual(['module destroyed', 'part closed', 'stopped']);
    silent.destroy();
  });

  it('ends the connection of an answer that began before the stop', async () => {
    await using tiny = await startTiny(patient);
    const streamed = await fetch(`${urlOf(tiny)}/do/stream`);
    expect(streamed.headers.get('connection')).toBe('keep-alive');
    await tiny.kill('SIGTERM');
    await untilSaid(tiny, 'stopping');
    await tiny.kill('SIGUSR2');
    expect(await streamed.text()).toBe('begun, ended');
    expect(await tiny.exited).toEqual({ code: 0, signal: null });
  });

  it('cuts off what takes longer than the drain, closes the rest, and says so', async () => {
    await using tiny = await startTiny({ DIPTYCH_HTTP_DRAIN_MS: '100' });
    const slow = fetch(`${urlOf(tiny)}/do/slow`).then(
      () => 'answered',
      () => 'cut',
    );
    await untilSaid(tiny, 'slow begun');
    await tiny.kill('SIGTERM');
    expect(await tiny.exited).toEqual({ code: 1, signal: null });
    expect(await slow).toBe('cut');
    expect(tiny.stderr).toBe('tiny: not answered within 100 ms, so cut off: GET /do/slow\n');
    expect(eventsOf(tiny)).toContain('part closed');
  });

  it('does not take half a request for an unanswered one', async () => {
    await using tiny = await startTiny({ DIPTYCH_HTTP_DRAIN_MS: '100' });
    const half = connect(Number(new URL(urlOf(tiny)).port), '127.0.0.1');
    half.on('error', () => undefined);
    half.write('GET /health/live HTTP/1.1\r\nHost: x\r\n');
    // A whole request after it: once that is answered, the half one has arrived, too.
    await fetch(`${urlOf(tiny)}/health/live`);
    await tiny.kill('SIGTERM');
    expect(await tiny.exited).toEqual({ code: 0, signal: null });
  });

  it('names a part that does not end', async () => {
    await using tiny = await startTiny({ DIPTYCH_TINY_FAULT: 'close-hangs', DIPTYCH_HOST_STOP_MS: '300' });
    await tiny.kill('SIGTERM');
    expect(await tiny.exited).toEqual({ code: 1, signal: null });
    expect(tiny.stderr).toMatch(/^tiny: tiny: hanging did not end within 300 ms\n/);
  });

  it('ends at once on a second signal', async () => {
    await using tiny = await startTiny();
    const slow = fetch(`${urlOf(tiny)}/do/slow`).catch(() => undefined);
    await untilSaid(tiny, 'slow begun');
    await tiny.kill('SIGINT');
    await untilSaid(tiny, 'stopping');
    await tiny.kill('SIGINT');
    expect(await tiny.exited).toEqual({ code: 1, signal: null });
    expect(tiny.stderr).toMatch(/^tiny: a second signal \(SIGINT\) came before the stop was done\n$/);
    await slow;
  });

  it('is alive but not ready while it starts, and a signal then ends it after the start', async () => {
    const port = await freePort();
    await using tiny = await startTiny({ DIPTYCH_TINY_FAULT: 'starts-slowly', DIPTYCH_HTTP_PORT: String(port) }, /part opened/);
    expect((await fetch(`http://127.0.0.1:${port}/health/live`)).status).toBe(200);
    const ready = await fetch(`http://127.0.0.1:${port}/health/ready`);
    expect([ready.status, ready.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await ready.json()).toMatchObject({ code: 'UNAVAILABLE', detail: 'this process is starting' });
    await tiny.kill('SIGTERM');
    await untilSaid(tiny, 'signalled');
    await tiny.kill('SIGUSR2');
    expect(await tiny.exited).toEqual({ code: 0, signal: null });
    expect(eventsOf(tiny)).not.toContain('ready');
    expect(eventsOf(tiny)).toContain('part closed');
  });

  it.each([
    ['throw', 'thrown'],
    ['reject', 'rejected'],
  ])('dies of an error that nobody caught (%s), with one line', async (what, word) => {
    await using tiny = await startTiny();
    await fetch(`${urlOf(tiny)}/do/${what}`).catch(() => undefined);
    expect(await tiny.exited).toEqual({ code: 1, signal: null });
    expect(tiny.stderr).toBe(`tiny: TypeError: ${word} beside a request (a defect; DIPTYCH_DEBUG=1 shows where)\n`);
  });

  describe.concurrent('that cannot start ends with 2 and a sentence', () => {
    it('for bad settings, before anything is opened', async () => {
      await using tiny = await runTiny({
        DIPTYCH_TINY_SIZE: '10',
        DIPTYCH_TINY_FALT: 'none',
        DIPTYCH_HTTP_PORT: '80 80',
        DIPTYCH_TELEMETRY_LEVEL: 'loud',
      });
      expect(tiny.exit).toEqual({ code: 2, signal: null });
      expect(tiny.stdout).toBe('');
      expect(tiny.stderr.trimEnd().split('\n')).toEqual([
        'tiny: DIPTYCH_HTTP_PORT is "80 80"; it must be a whole number from 0 to 65535',
        'tiny: DIPTYCH_TELEMETRY_LEVEL is "loud"; it must be one of trace, debug, info, warn, error, fatal, silent',
        'tiny: DIPTYCH_TINY_SIZE is "10"; it must be a whole number from 1 to 9',
        'tiny: DIPTYCH_TINY_FALT is no setting of this program; did you mean DIPTYCH_TINY_FAULT?',
      ]);
    });

    it('for a port in use, before anything is opened', async () => {
      const other = createServer().listen(0, '127.0.0.1');
      await once(other, 'listening');
      const { port } = other.address() as AddressInfo;
      await using tiny = await runTiny({ DIPTYCH_HTTP_PORT: String(port) });
      other.close();
      expect(tiny.exit).toEqual({ code: 2, signal: null });
      expect(tiny.stdout).toBe('');
      expect(tiny.stderr).toBe(
        `tiny: port ${port} on 127.0.0.1 is in use by another process; stop it, or set DIPTYCH_HTTP_PORT to another port (0 takes a free one)\n`,
      );
    });

    it('for an address that is not of this machine', async () => {
      await using tiny = await runTiny({ DIPTYCH_HTTP_HOST: '192.0.2.1' });
      expect(tiny.exit).toEqual({ code: 2, signal: null });
      expect(tiny.stderr).toMatch(/^tiny: 192\.0\.2\.1 is no address of this machine; set DIPTYCH_HTTP_HOST [^\n]*\n$/);
    });

    it('for a part that throws, and closes what was open', async () => {
      await using tiny = await runTiny({ DIPTYCH_TINY_FAULT: 'start-throws' });
      expect(tiny.exit).toEqual({ code: 2, signal: null });
      expect(tiny.stdout).toBe('{"event":"part opened"}\n{"event":"part closed"}\n');
      expect(tiny.stderr).toBe('tiny: Error: the part broke (a defect; DIPTYCH_DEBUG=1 shows where)\n');
    });

    it('with a stack where that is asked for', async () => {
      await using tiny = await runTiny({ DIPTYCH_TINY_FAULT: 'start-throws', DIPTYCH_DEBUG: '1' });
      expect(tiny.stderr).toMatch(/\n +at .*tiny-app\.ts/);
    });
  });
});
