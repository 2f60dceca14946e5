import type { PortDescriptor, UnaryMethod } from '../port.js';
import { Type } from 'typebox';
import type { PortWire } from '../nats/port-wire.js';
import { subjectOfRoute } from './pattern.js';

/** Nest patterns as the methods of a port: any number, of any name, with whatever Nest's pipes will check. */
export type NestPort = Record<string, UnaryMethod<unknown, unknown>>;

/** @param routes normalized patterns */
export function nestPort(routes: Iterable<string>, wire: Omit<PortWire, 'subjectOf'>): PortDescriptor<NestPort> {
  const method = { kind: 'unary', request: ANYTHING, reply: ANYTHING, safeToRepeat: false } as const;
  return {
    name: NAME,
    version: 1,
    methods: Object.fromEntries(Array.from(routes, (route) => [route, method])),
    wire: { ...wire, subjectOf: (name) => (name.startsWith('_') ? `diptych.${NAME}.v1.${name}` : subjectOfRoute(name)) },
  };
}

const NAME = 'nest';
const ANYTHING = Type.Unknown();
