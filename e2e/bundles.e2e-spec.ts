import { Arm, PANELS, MONOLITHS, type ArmSpec } from '@diptych/testing';
import { describe, expect, it } from 'vitest';
import { HttpClient } from './support/http-client.js';

/*
 * Claim: what the scaling lab’s processes run, each app bundled into a few files, does what its compiled modules do; its threads are found, and it ends cleanly.
 *
 * Method: each panel, and the monolith of two threads, from the bundles; every call of the edge once, with what of a log is done by threads of its own.
 */
const bundled = (spec: ArmSpec): ArmSpec => ({
  ...spec,
  processes: spec.processes.map((each) => ({ ...each, main: each.main.replace(/main\.js$/, 'bundle/main.js') })),
});
const threads = MONOLITHS.find(({ name }) => name === 'monolith-threads')!;

describe.each([...PANELS, threads].map(bundled))('$name, bundled', (spec) => {
  it('writes, reads, lists, reports, deletes, exports metrics, and stops', async () => {
    const arm = await Arm.start(spec, { variables: { DIPTYCH_LOG_REPORT_MODE: 'worker' } });
    try {
      await using http = new HttpClient(arm.url);
      expect((await http.put('one/a', 'first')).status).toBe(201);
      expect((await http.put('one/b', 'second')).status).toBe(201);
      expect(await http.get('one/a')).toMatchObject({ status: 200 });
      expect((await http.send('GET', '/v1/keys?prefix=one/')).status).toBe(200);
      const report = await http.send('GET', '/v1/report?prefix=one/');
      expect(report.status).toBe(200);
      expect((await http.send('DELETE', '/v1/keys/one%2Fa')).status).toBe(204);
      expect((await http.get('one/a')).status).toBe(404);
      for (const path of ['/metrics', '/openapi.json', '/health/ready']) expect((await http.send('GET', path)).status, path).toBe(200);
      expect((await http.send('GET', '/no/such/path')).status).toBe(404);
      await arm.stop();
    } finally {
      await arm[Symbol.asyncDispose]();
    }
  });
});
