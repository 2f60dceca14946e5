import { within } from '@diptych/kernel';
import { waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import { Probe, probePort } from './probe-port.js';
import { codeOf, outcomeOf, Rig } from './rig.js';

/** What a caller and a server notice of what the broker does not allow them: at once, and not by their deadlines. */
const users = (...lines: string[]) =>
  `authorization { users = [ { user: all, password: x }, { user: one, password: x, permissions: { ${lines.join(', ')} } } ] }`;
const ALL = { user: 'all:x' };
const ONE = { user: 'one:x' };

it('a call to a subject that is forbidden is PERMISSION_DENIED, and was not made', async () => {
  await using rig = await Rig.start({ config: users('publish: { deny: ["diptych.probe.v1.echo", "diptych.probe.v1.echo.>"] }') });
  const probe = new Probe();
  await (await rig.link(ALL)).serve(probePort, probe.port);
  const caller = await rig.link(ONE);
  const port = caller.client(probePort);
  for (const known of [0, 1]) {
    await waitFor(() => caller.routing.members >= known);
    expect(await outcomeOf(port.echo({ text: '' }, within(60_000)))).toMatchObject({
      code: 'PERMISSION_DENIED',
      definite: true,
      message: 'NATS does not allow this process to publish to diptych.probe.v1.echo',
    });
  }
  // Whatever the broker says of one does not harm the others, and what is allowed is not concerned.
  const codes = await Promise.all([
    ...Array.from({ length: 300 }, () => codeOf(port.echo({ text: 'x' }, within(60_000)))),
    ...Array.from({ length: 300 }, () => codeOf(port.produce({ bytes: 10 }, within(60_000)))),
  ]);
  expect(codes).toEqual(Array.from({ length: 600 }, (_, i) => (i < 300 ? 'PERMISSION_DENIED' : 'answered')));
  expect(probe.seen).toEqual([]);
  expect(caller.inFlight).toBe(0);
  // One line of telemetry a subject, however many calls.
  const told = rig.faults.filter((fault) => /permission/i.test(fault) && /to "diptych\.probe\.v1\.echo"/.test(fault));
  expect(told).toHaveLength(1);
});

it('permissions that name methods and not instances are enough: calls go by the queue group', async () => {
  await using rig = await Rig.start({
    config: users('publish: { allow: ["diptych.probe.v1.echo", "diptych.probe.v1.produce", "diptych.probe.v1._members.>", "_INBOX.>"] }'),
  });
  const probe = new Probe();
  await (await rig.link(ALL)).serve(probePort, probe.port);
  const caller = await rig.link(ONE);
  const port = caller.client(probePort);
  await waitFor(() => caller.routing.members === 1);
  for (let i = 0; i < 20; i++) expect(await port.echo({ text: String(i) }, within(60_000))).toEqual({ text: String(i) });
  expect(probe.seen).toHaveLength(20);
  // The first was tried at the instance, and none after it.
  expect(rig.faults.filter((fault) => fault.includes('echo'))).toHaveLength(1);
});

it('a process that may not hear answers is told so', async () => {
  await using rig = await Rig.start({ config: users('subscribe: { deny: ["_INBOX.>"] }') });
  await (await rig.link(ALL)).serve(probePort, new Probe().port);
  const port = (await rig.link(ONE)).client(probePort);
  await waitFor(() => rig.faults.some((fault) => fault.includes('_INBOX')));
  expect(await outcomeOf(port.echo({ text: '' }, within(60_000)))).toMatchObject({
    code: 'PERMISSION_DENIED',
    message: expect.stringContaining('where it would get its answers'),
  });
});

it('a server that may not subscribe is heard of: the fault says to what', async () => {
  await using rig = await Rig.start({ config: users('subscribe: { deny: ["diptych.probe.v1.echo"] }') });
  await outcomeOf((await rig.link(ONE)).serve(probePort, new Probe().port));
  await waitFor(() => rig.faults.some((fault) => /permission/i.test(fault) && fault.includes('probe.v1.echo')));
});

it('credentials that are refused after a restart are heard of, and healed from', async () => {
  const allow = (password: string) => `authorization { user: ann, password: ${password} }`;
  await using rig = await Rig.start({ config: allow('right') });
  const one = await rig.link({ user: 'ann:right' });
  await rig.configure(allow('other'));
  await rig.broker.restart();
  await waitFor(() => one.status === 'disconnected');
  await waitFor(() => rig.faults.some((fault) => /credentials/.test(fault)), { what: 'a fault about credentials' });
  expect(rig.faults.join()).not.toContain('right');
  await rig.configure(allow('right'));
  await rig.broker.restart();
  await waitFor(() => one.status === 'connected');
});
