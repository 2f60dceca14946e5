import { Type, type Static } from 'typebox';

/** What happens to the bytes of one direction. All of it can be asked for together, and be changed while connections are open. */
export const OneWayFaults = Type.Object(
  {
    /** Bytes arrive no sooner than this after they came in, also those that came in before it was asked for. */
    latencyMs: Type.Optional(Type.Number({ minimum: 0, maximum: 600_000 })),
    /** Up to so much later still, evenly drawn for each chunk. The order of bytes is kept, so a late chunk delays those behind it. */
    jitterMs: Type.Optional(Type.Number({ minimum: 0, maximum: 600_000 })),
    /** N bytes take no less than N / bytesPerSecond seconds, for each connection by itself. */
    bytesPerSecond: Type.Optional(Type.Number({ minimum: 1 })),
    /**
     * Nothing arrives: no bytes, no end, no reset, and no new connection upstream when it is asked for towards it. What was sent
     * meanwhile arrives when the fault is taken back.
     */
    blackhole: Type.Optional(Type.Boolean()),
    /** So many more bytes arrive on each connection, then both its ends are cut: the receiver sees an end, the sender a reset. */
    cutAfterBytes: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  { additionalProperties: false },
);
export type OneWayFaults = Static<typeof OneWayFaults>;

/** What is asked of a proxy, as a whole: what is not named is not done. `{}` is a plain wire. */
export const Faults = Type.Object(
  {
    /**
     * What a new connection meets. `refuse`: nobody listens (ECONNREFUSED). `reset`: it is made, and reset at once (ECONNRESET).
     * Connections that are open already are not touched; `FaultProxy.reset` ends those.
     */
    connect: Type.Optional(Type.Union([Type.Literal('accept'), Type.Literal('refuse'), Type.Literal('reset')])),
    toUpstream: Type.Optional(OneWayFaults),
    toClient: Type.Optional(OneWayFaults),
  },
  { additionalProperties: false },
);
export type Faults = Static<typeof Faults>;

/** Both directions alike. */
export const bothWays = (faults: OneWayFaults): Faults => ({ toUpstream: faults, toClient: faults });

/** Neither side hears of the other. */
export const PARTITION: Faults = bothWays({ blackhole: true });

/** What was done to the bytes of one direction since the faults were last set; `heldBytes` is what lies here now. */
export interface OneWayTally {
  bytesIn: number;
  bytesOut: number;
  heldBytes: number;
  /** Chunks that have gone out whole, and how long they lay here. */
  chunks: number;
  delayMsSum: number;
  delayMsMin: number;
  delayMsMax: number;
}

/** What a proxy really did since the faults were last set: the proof of an injection. `open` is how many connections there are now. */
export interface Tally {
  open: number;
  accepted: number;
  /** New connections that were reset because it was asked for, or because there were too many. */
  turnedAway: number;
  /** Open connections that `reset` ended. */
  reset: number;
  /** Connections that `cutAfterBytes` ended. */
  cut: number;
  /** Connections that ended because upstream could not be reached. */
  unreachable: number;
  toUpstream: OneWayTally;
  toClient: OneWayTally;
}

export type Direction = 'toUpstream' | 'toClient';

/** A proxy, in this process or in another. Every call is safe to repeat. */
export interface FaultPoint {
  /** Replaces all faults; resolves when they hold. @throws Error when one is not allowed, or a port to listen on again is taken */
  setFaults(faults: Faults): Promise<void>;
  /** Ends every open connection by a reset of both its ends. @returns how many there were */
  reset(): Promise<number>;
  tally(): Promise<Tally>;
}

function newOneWayTally(): OneWayTally {
  return { bytesIn: 0, bytesOut: 0, heldBytes: 0, chunks: 0, delayMsSum: 0, delayMsMin: 0, delayMsMax: 0 };
}

export function newTally(): Tally {
  const counts = { open: 0, accepted: 0, turnedAway: 0, reset: 0, cut: 0, unreachable: 0 };
  return { ...counts, toUpstream: newOneWayTally(), toClient: newOneWayTally() };
}
