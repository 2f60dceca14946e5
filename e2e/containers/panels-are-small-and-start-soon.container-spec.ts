import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from '@diptych/testing';
import { expect, inject, it } from 'vitest';
import { HttpClient } from '../support/http-client.js';
import type { Footprint } from './support/footprint.js';
import { ARM_NAMES, Panels, PARTS, type ArmName } from './support/panels.js';

/*
 * Goal: the images and the idle panels fit on a small machine, and both panels are up within a minute.
 * Method: sizes and memory as the engine tells them; each panel is stopped as a whole and started again, until it has taken a write and
 * shown it.
 */
const panels = new Panels(inject('panels'));

it('the image is small, both panels are up in under 60 s, and each starts again within that', async () => {
  const arms = {} as Record<ArmName, Footprint['arms'][ArmName]>;
  for (const arm of ARM_NAMES) {
    for (const part of PARTS[arm]) await panels.stop(part);
    const beganMs = performance.now();
    for (const part of [...PARTS[arm]].reverse()) await panels.start(part);
    await using http = new HttpClient(panels.address.urls[arm]);
    await waitFor(async () => (await http.put('footprint', 'x')).status < 300 && (await http.get('footprint')).status === 200, {
      timeoutMs: 60_000,
      pollMs: 50,
      what: `${arm} takes a write and shows it`,
    });
    const startMs = performance.now() - beganMs;
    arms[arm] = { startMs, memoryBytes: await panels.memoryBytes(arm) };
  }
  const imageBytes = await panels.imageBytes('monolith');
  const footprint: Footprint = { imageBytes, upMs: panels.address.upMs, arms };
  writeFileSync(join(panels.address.recordDir, 'footprint.json'), JSON.stringify(footprint));
  console.info(JSON.stringify(footprint));
  expect(imageBytes).toBeLessThan(400e6);
  expect(footprint.upMs).toBeLessThan(60_000);
  for (const arm of ARM_NAMES) expect(arms[arm].memoryBytes).toBeLessThan(600e6);
});
