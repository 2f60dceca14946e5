import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { FaultProxy, PARTITION, type OneWayTally, type Tally } from '@diptych/fault-proxy';
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

it('takes no tally for proof in which one thing of it is missing', () => {
  const way = (of: Partial<OneWayTally>): OneWayTally => ({ ...NOTHING, ...of });
  const tally = (of: Partial<Tally>): Tally => ({
    ...{ open: 0, accepted: 0, turnedAway: 0, reset: 0, cut: 0, unreachable: 0, toUpstream: way({}), toClient: way({}) },
    ...of,
  });
  const [held, passed] = [way({ bytesIn: 9, heldBytes: 9 }), way({ bytesIn: 9, bytesOut: 9 })];
  const late = way({ bytesIn: 9, bytesOut: 5, heldBytes: 4 });
  const ways = (toUpstream: OneWayTally, toClient: OneWayTally) => tally({ toUpstream, toClient });
  expect(isCut(ways(held, held))).toBe(true);
  for (const not of [ways(held, passed), ways(passed, held), ways(held, way({})), ways(late, held)]) expect(isCut(not)).toBe(false);
  expect(isOpen(ways(passed, passed))).toBe(true);
  for (const not of [ways(passed, held), ways(held, passed), ways(passed, way({ bytesOut: 9 })), ways(late, passed)])
    expect(isOpen(not)).toBe(false);
  const turnedAway = { reset: 1, turnedAway: 2, accepted: 0, open: 0 };
  expect(isTurnedAway(tally(turnedAway))).toBe(true);
  for (const not of [{ reset: 0 }, { turnedAway: 0 }, { accepted: 1 }, { open: 1 }])
    expect(isTurnedAway(tally({ ...turnedAway, ...not }))).toBe(false);
});

const NOTHING: OneWayTally = { bytesIn: 0, bytesOut: 0, heldBytes: 0, chunks: 0, delayMsSum: 0, delayMsMin: 0, delayMsMax: 0 };
