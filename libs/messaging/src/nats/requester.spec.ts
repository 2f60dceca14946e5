import { DiptychError, within } from '@diptych/kernel';
import { describe, expect, it } from 'vitest';
import type { Message } from './client/message.js';
import { checkOf } from '../codec.js';
import { DEFAULT_BOUNDS } from '../port.js';
import { Type } from 'typebox';
import type { Connection, LinkStatus } from './connection.js';
import { Requester } from './requester.js';
import type { Destination, Routes } from './routing/routes.js';
import type { Forbidden } from './session.js';

/** A broker that does what a test says, and the places calls may go to. */
function setUp({ isOnePlace = false } = {}) {
  const sent: Array<{ subject: string; reply: string }> = [];
  let take: (message: Message) => void = () => undefined;
  let echo: () => void = () => undefined;
  let forbid: (what: Forbidden) => void = () => undefined;
  let become: (status: LinkStatus) => void = () => undefined;
  const connection = {
    payloadBytesMax: 1_048_576,
    assertWritable: () => undefined,
    publishParts: (subject: string, reply: string) => sent.push({ subject, reply }) > 0,
    flush: () => new Promise<void>((resolve) => (echo = resolve)),
    subscribe: (_: string, onMessage: typeof take) => ((take = onMessage), { [Symbol.dispose]: () => undefined }),
    regard: () => ({ [Symbol.dispose]: () => undefined }),
    onStatus: (listener: typeof become) => ((become = listener), { [Symbol.dispose]: () => undefined }),
    downError: () => new DiptychError('UNAVAILABLE', 'down'),
    onForbidden: (listener: typeof forbid) => ((forbid = listener), { [Symbol.dispose]: () => undefined }),
  };
  const places = ['one', 'two'].map(placeOf);
  let at = 0;
  const routes: Routes = { choose: () => places[isOnePlace ? 0 : at++ % 2]!, anyone: placeOf('anyone'), close: () => undefined };
  const requester = new Requester(connection as unknown as Connection, 'inbox', DEFAULT_BOUNDS);
  const target = {
    what: 'p.m',
    method: 'm',
    routes,
    routingKeyOf: undefined,
    replyFits: checkOf(Type.Object({})),
    lanes: new WeakMap(),
    inFlight: requester.inFlightOf('m'),
  };
  return {
    requester,
    sent,
    places,
    call: () => requester.call(target, {}, within(60_000), 1_000),
    refuse: (reply: string) => take({ subject: reply, data: new Uint8Array(0), headers: { code: 503 } } as unknown as Message),
    echo: () => echo(),
    forbid: (subject: string) => forbid({ operation: 'publish', subject }),
    deafen: () => forbid({ operation: 'subscription', subject: 'inbox.*' }),
    become: (status: LinkStatus) => become(status),
  };
}

function placeOf(name: string): Destination {
  const ignore = () => undefined;
  const subjectOf = (method: string) => `${method}.${name}`;
  return { subjectOf, cancelSubject: `cancel.${name}`, outstanding: 0, answered: ignore, refused: ignore, forbidden: ignore };
}

/** As many turns as a call may wait for others. */
const turn = async () => {
  for (let i = 0; i < 4; i++) await new Promise<void>((resolve) => setImmediate(resolve));
};

it('a call that was sent to an instance just gone is refused, and goes to another, though the word of the end comes first', async () => {
  const { requester, sent, places, call, refuse, echo } = setUp();
  const outcome = call().catch((error: { code: string }) => error.code);
  await turn();
  requester.lose(places[0]!);
  await turn();
  refuse(sent[0]!.reply);
  echo();
  await turn();
  await turn();
  expect(sent.map(({ subject }) => subject)).toEqual(['m.one', 'm.two']);
  expect([places[0]!.outstanding, places[1]!.outstanding, requester.inFlight]).toEqual([0, 1, 1]);
  requester.close();
  expect(await outcome).toBe('CONNECTION_LOST');
});

it('a call that nobody refuses is lost with its instance', async () => {
  const { requester, places, call, echo } = setUp();
  const outcome = call().catch((error: { code: string }) => error.code);
  await turn();
  requester.lose(places[0]!);
  echo();
  expect(await outcome).toBe('CONNECTION_LOST');
  requester.close();
});

it('a refusal that comes twice sends a call again once', async () => {
  const { requester, sent, call, refuse } = setUp();
  const outcome = call().catch((error: { code: string }) => error.code);
  await turn();
  const { reply } = sent[0]!;
  refuse(reply);
  refuse(reply);
  await turn();
  expect(sent.map(({ subject }) => subject)).toEqual(['m.one', 'm.two']);
  requester.close();
  expect(await outcome).toBe('CONNECTION_LOST');
});

it('a refusal of no frame that was ever sent says nothing about calls that wait to be sent', async () => {
  const { requester, sent, call, refuse } = setUp();
  const outcome = call().catch((error: { code: string }) => error.code);
  refuse('inbox.-1');
  await turn();
  expect(sent.map(({ subject }) => subject)).toEqual(['m.one']);
  requester.close();
  expect(await outcome).toBe('CONNECTION_LOST');
});

describe('the broker forbids a subject: a call', () => {
  const errorOf = (promise: Promise<unknown>) => promise.catch((error: { code: string; definite: boolean }) => error);
  const subjects = (sent: ReadonlyArray<{ subject: string }>) => sent.map(({ subject }) => subject);
  const settled = async (echo: () => void) => {
    echo();
    for (let i = 0; i < 3; i++) await turn();
  };

  it('that went there goes to the queue group when it was for one instance, and was never made when it was for anyone', async () => {
    const { requester, sent, call, forbid, echo } = setUp();
    const outcome = errorOf(call());
    await turn();
    for (const [i, subject] of ['m.one', 'm.two'].entries()) {
      forbid(subject);
      expect(sent).toHaveLength(i + 1);
      await settled(echo);
    }
    expect(subjects(sent)).toEqual(['m.one', 'm.two', 'm.anyone']);
    forbid('m.anyone');
    await settled(echo);
    expect(await outcome).toMatchObject({ code: 'PERMISSION_DENIED', definite: true });
    requester.close();
  });

  it('of several frames there goes elsewhere when all of them were refused, and is not touched when it may have been passed on', async () => {
    for (const refusals of [1, 2]) {
      const { requester, sent, call, forbid, echo } = setUp();
      const calls = [];
      for (let i = 0; i < 3; i++) {
        calls.push(errorOf(call()));
        await turn();
      }
      expect(subjects(sent)).toEqual(['m.one', 'm.two', 'm.one']);
      for (let i = 0; i < refusals; i++) forbid('m.one');
      await settled(echo);
      expect(sent.length).toBe(refusals === 2 ? 5 : 3);
      expect(requester.inFlight).toBe(3);
      requester.close();
      for (const outcome of calls) expect(await outcome).toMatchObject({ code: 'CONNECTION_LOST' });
    }
  });

  it('that has not left yet is not concerned', async () => {
    const { requester, sent, call, forbid, echo } = setUp();
    const outcome = errorOf(call());
    forbid('m.one');
    await settled(echo);
    expect(subjects(sent)).toEqual(['m.one']);
    requester.close();
    expect(await outcome).toMatchObject({ code: 'CONNECTION_LOST' });
  });
});

it('counters of patterns that are made up of data are forgotten, unless they count', () => {
  const { requester } = setUp();
  const idle = requester.inFlightOf('idle');
  const busy = requester.inFlightOf('busy');
  busy.calls = 1;
  for (let i = 0; i < 10_000; i++) requester.inFlightOf(`orders.${i}`);
  expect(requester.inFlightOf('busy')).toBe(busy);
  expect(requester.inFlightOf('idle')).not.toBe(idle);
  requester.close();
});

it('where no answer can come calls are refused, by what is said while the connection is made anew too, until the next one', async () => {
  const { requester, sent, call, deafen, become } = setUp();
  become('disconnected');
  deafen();
  become('connected');
  const refused = expect(call()).rejects.toMatchObject({ code: 'PERMISSION_DENIED', definite: true });
  expect(requester.inFlight).toBe(0);
  await refused;
  become('disconnected');
  become('connected');
  const outcome = call().catch((error: { code: string }) => error.code);
  await turn();
  expect(sent).toHaveLength(1);
  requester.close();
  expect(await outcome).toBe('CONNECTION_LOST');
});

it('calls that later turns bring share the frame of those that wait, for three turns and no more', async () => {
  const { requester, sent, call } = setUp({ isOnePlace: true });
  const once = () => new Promise<void>((resolve) => setImmediate(resolve));
  const ignore = () => undefined;
  call().catch(ignore);
  await once();
  expect(sent).toHaveLength(1);
  // Others are in flight from now on. Each turn brings one more.
  for (let i = 0; i < 3; i++) {
    call().catch(ignore);
    await once();
  }
  expect(sent).toHaveLength(2);
  // A turn without any is the last.
  call().catch(ignore);
  await once();
  expect(sent).toHaveLength(2);
  await once();
  expect(sent).toHaveLength(3);
  requester.close();
});
