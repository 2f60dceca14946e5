import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { FaultProxy, PARTITION } from '@diptych/fault-proxy';
import { waitFor } from '@diptych/testing';
import { expect, it } from 'vitest';
import { isCut, isOpen, isTurnedAway } from './faults.js';

/*
 * Claim: what counts as the proof of a fault on a wire is not there before the fault has been met from both sides.
 */
it('proves a cut, its end and a reset by what both sides did since, and by no less', async () => {
  await using ends = new AsyncDisposableStack();
  const far: Socket[] = [];
  const server = createServer((socket) => far.push(socket.on('error', () => undefined).resume())).listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.defer(() => void server.close());
  ends.defer(() => far.forEach((socket) => socket.destroy()));
  const proxy = ends.use(await FaultProxy.listen({ upstream: { host: '127.0.0.1', port: (server.address() as AddressInfo).port } }));
  const dial = () => {
    const socket = connect(proxy.port, '127.0.0.1').on('error', () => undefined);
    ends.defer(() => void socket.destroy());
    return socket.resume();
  };
  const until = (what: string, isSo: (tally: Awaited<ReturnType<FaultProxy['tally']>>) => boolean) =>
    waitFor(async () => isSo(await proxy.tally()), { what, timeoutMs: 60_000, pollMs: 5 });

  const near = dial();
  await waitFor(() => far.length === 1, { what: 'the connection', timeoutMs: 60_000 });
  await proxy.setFaults(PARTITION);
  expect(isCut(await proxy.tally()), 'nobody has sent anything').toBe(false);
  near.write('near');
  await until('what one side sent is held', ({ toUpstream }) => toUpstream.heldBytes > 0);
  expect(isCut(await proxy.tally()), 'the other has sent nothing').toBe(false);
  far[0]!.write('far');
  await until('a cut', isCut);

  await proxy.setFaults({});
  await until('what was held comes out', ({ toUpstream, toClient }) => toUpstream.bytesOut > 0 && toClient.bytesOut > 0);
  expect([isCut(await proxy.tally()), isOpen(await proxy.tally())], 'nobody has sent anything since').toEqual([false, false]);
  near.write('near');
  await until('what one side sent comes out', ({ toUpstream }) => toUpstream.bytesIn > 0);
  expect(isOpen(await proxy.tally()), 'the other has sent nothing since').toBe(false);
  far[0]!.write('far');
  await until('an open wire', isOpen);

  await proxy.setFaults({ connect: 'reset' });
  await proxy.reset();
  await until('no connection is left', ({ open }) => open === 0);
  expect(isTurnedAway(await proxy.tally()), 'nobody has tried to make another').toBe(false);
  dial();
  await until('one that was turned away', isTurnedAway);
});
