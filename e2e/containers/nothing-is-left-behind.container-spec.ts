import { expect, inject, it } from 'vitest';
import { leftovers } from './support/panels.js';
import { startPanels } from './support/panels-environment.js';

/*
 * Goal: a run of the container tests leaves no container, network or volume behind, however it began. (That the whole run has left none is
 * looked at after all tests, in panels-setup.ts.)
 * Method: a panel is started, seen to be there, and ended; another cannot start because its limit is not allowed.
 */
it('a panel that was ended leaves no container, network or volume', async () => {
  const { address, down } = await startPanels({ name: `${inject('panels').project}-ended`, services: ['monolith'], build: false });
  const there = await leftovers(address.project);
  for (const kind of ['container', 'network', 'volume']) expect(there.some((each) => each.startsWith(kind))).toBe(true);
  await down();
  expect(await leftovers(address.project)).toEqual([]);
});

it('neither does one that could not be started', async () => {
  const name = `${inject('panels').project}-stillborn`;
  await expect(startPanels({ name, services: ['monolith'], build: false, variables: { MONOLITH_MEMORY: '1k' } })).rejects.toThrow(
    /memory/i,
  );
  expect(await leftovers(name)).toEqual([]);
});
