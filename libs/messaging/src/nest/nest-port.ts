import type { PortDescriptor, UnaryMethod } from '../port.js';
import { Type } from 'typebox';
import type { PortWire } from '../nats/port-wire.js';
import { takes } from '../nats/routing/catalog.js';
import { CANCEL_METHOD } from '../nats/routing/routes.js';
import { subjectOfRoute } from './pattern.js';

/** Nest patterns as the methods of a port: any number, of any name, with whatever Nest's pipes will check. */
export type NestPort = Record<string, UnaryMethod<unknown, unknown>>;

/** What the server says of itself, besides how its patterns are reached. */
export type NestWire = Pick<PortWire, 'queueOf' | 'eventTimeoutMs' | 'plainCall'>;

/**
 * As a server has it: all its patterns.
 *
 * @param routes normalized patterns
 */
export function servedNestPort(routes: Iterable<string>, wire: NestWire): PortDescriptor<NestPort> {
  const all = Array.from(routes, (route) => ({ route, subject: subjectOfRoute(route) }));
  const handlerOf = remembered((token) => {
    const subject = subjectAt(token);
    return (all.find((each) => each.subject === subject) ?? all.find((each) => takes(each.subject, subject)))?.route;
  });
  return nestPort(
    all.map(({ route }) => route),
    {
      ...wire,
      addressOf: addressOfRoute,
      methodAt: handlerOf,
      catalog: () => all.map(({ route, subject }) => [subject, wire.queueOf(route) ?? null]),
    },
  );
}

/** As a client has it: one pattern. @param isRouted whether its calls go to live instances, and not to whoever the broker picks */
export function calledNestPort(route: string, isRouted: boolean): PortDescriptor<NestPort> {
  return nestPort([route], { ...NOT_SERVED, addressOf: isRouted ? addressOfRoute : undefined });
}

function nestPort(routes: readonly string[], wire: Omit<PortWire, 'subjectOf'>): PortDescriptor<NestPort> {
  const method = { kind: 'unary', request: ANYTHING, reply: ANYTHING, safeToRepeat: false } as const;
  return {
    name: 'nest',
    version: 1,
    methods: Object.fromEntries(routes.map((route) => [route, method])),
    wire: { ...wire, subjectOf: (name) => (name === CANCEL_METHOD ? `${PREFIX}${name}` : subjectOfRoute(name)) },
  };
}

/**
 * Where one instance gets what is sent to a pattern. Not the pattern and one token more, which the handlers of other patterns may take: the pattern is
 * one token, in base64url. That never begins as `_cancel` does, since no text begins with the byte that it would stand for.
 */
function addressOfRoute(route: string): string {
  return `${PREFIX}${route === CANCEL_METHOD || route === '*' ? route : Buffer.from(subjectOfRoute(route)).toString('base64url')}`;
}

function subjectAt(token: string): string {
  return Buffer.from(token, 'base64url').toString();
}

/** What a message was sent to: the pattern, if it was sent to one instance too. */
export const patternSubjectOf = remembered((subject) => {
  const [, token] = ADDRESS.exec(subject) ?? [];
  return token === undefined ? subject : subjectAt(token);
});

/** The same function, which looks up what it was asked lately: subjects may be made up of data, and usually are not. */
function remembered<T>(compute: (text: string) => T): (text: string) => T {
  const known = new Map<string, T>();
  return (text) => {
    let value = known.get(text);
    if (value === undefined && !known.has(text)) {
      if (known.size >= REMEMBERED_MAX) known.clear();
      known.set(text, (value = compute(text)));
    }
    return value as T;
  };
}

const PREFIX = 'diptych.nest.v1.';
const ADDRESS = /^diptych\.nest\.v1\.([^.]+)\.[^.]+$/;
const REMEMBERED_MAX = 10_000;
const ANYTHING = Type.Unknown();
const NOT_SERVED: NestWire = {
  queueOf: () => undefined,
  eventTimeoutMs: 0,
  plainCall: () => {
    throw new TypeError('a client is not called');
  },
};
