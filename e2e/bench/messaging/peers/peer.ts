/** A cache read over some transport: a key there, its value back. Text or bytes, whichever the transport carries with less work. */
export interface Caller {
  get(key: string): Promise<string | Uint8Array>;
}

/** One way of asking another process, configured as its makers advise where speed matters. */
export interface Peer {
  /** Answers until the process ends. Resolves when the broker knows. */
  serve(url: string, values: Values): Promise<void>;
  connect(url: string): Promise<Caller>;
}

/** Of 256 bytes, which most rows use, and of 64 KiB. */
export type Values = Readonly<Record<Key, string>>;
export type Key = 'small' | 'large';

export const VALUES: Values = { small: 'x'.repeat(256), large: 'x'.repeat(65_536) };

/** Each is loaded only where it runs, so that a process holds no other's code. */
export const PEERS = {
  port: () => import('./port.js'),
  send: () => import('./send.js'),
  nest: () => import('./nest.js'),
  moleculer: () => import('./moleculer.js'),
  nats: () => import('./nats-request.js'),
  'nats-default': () => import('./nats-request-default.js'),
} satisfies Record<string, () => Promise<{ peer: Peer }>>;

export type PeerName = keyof typeof PEERS;

/** Those of others at their fastest, which the bars compare with. */
export const OTHERS = ['nest', 'moleculer', 'nats'] as const satisfies readonly PeerName[];

/** What each is, and what a call over it does not promise that a call of a typed port does. */
export const ABOUT: Record<PeerName, { readonly title: string; readonly lacks: string }> = {
  port: { title: 'typed port', lacks: 'nothing: deadline, cancellation, trace context, typed errors, bounds and schemas are on' },
  send: { title: 'client.send, ours', lacks: 'schemas, and the trace context unless a record carries it' },
  nest: { title: "Nest's NATS", lacks: 'deadline, cancellation, trace context, error identity, bounds' },
  moleculer: { title: 'Moleculer', lacks: 'cancellation, bounds (its deadline is on; its tracing is off)' },
  nats: {
    title: 'nc.request, tuned',
    lacks: 'encoding, errors, cancellation, trace context, bounds, and a deadline that the server knows',
  },
  'nats-default': { title: 'nc.request', lacks: 'the same' },
};
