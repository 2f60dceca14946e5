/**
 * How instances of a port say that they are there. All of it travels on subjects beside those of the methods:
 *
 *   diptych.<port>.v<version>._members                    beats, to whoever routes calls to the port
 *   diptych.<port>.v<version>._members.ask                "who is there, and go on saying so": answered with a beat where it has a reply subject
 *   diptych.<port>.v<version>._members.alive.<instance>   "are you there?": answered with a beat, or by the broker with "no responders"
 *   diptych.nest.v1._members.catalog.<instance>           "what do you handle?": answered with a catalog (see `catalog.ts`), of Nest patterns only
 *
 * Numbers are big-endian. A receiver ignores what follows the fields it knows; a change that this does not allow raises the version.
 *
 *   beat  D7, version, u8 state (0 serving, 1 draining, 2 left), u32 sequence, u32 calls in flight, u16 periodMs, u16 leaseMs,
 *         u8 length and ASCII of the instance
 *   ask   D8, version, u16 members known to the asker
 *
 * D5 and D6 were beat and ask before they had a version.
 */
export interface Beat {
  readonly instance: string;
  readonly state: BeatState;
  /** Grows with each beat of an instance, so that an old one is never taken for news. */
  readonly sequence: number;
  /** Work begun and not finished. For whoever watches: routing goes by what the caller itself has outstanding, which is never stale. */
  readonly inFlight: number;
  /** The next beat comes within about this. The sender promises it, and so is silent by its own word when it does not keep it. */
  readonly periodMs: number;
  /** How much longer it goes on unless somebody asks again. */
  readonly leaseMs: number;
}

/** `draining`: takes no new calls, answers those it has. `left`: has answered them, and is no longer there. */
export type BeatState = 'serving' | 'draining' | 'left';

/** How long an instance goes on with its beats after somebody asked. */
export const LEASE_MS = 15_000;

const BEAT = 0xd7;
const ASK = 0xd8;
const VERSION = 1;
const BEAT_WITHOUT_VERSION = 0xd5;
const STATES: readonly BeatState[] = ['serving', 'draining', 'left'];
const BEAT_HEADER_BYTES = 1 + 1 + 1 + 4 + 4 + 2 + 2 + 1;
/** One token of a subject: what it may hold follows from that. */
const INSTANCE = /^[A-Za-z0-9_-]{1,64}$/;

export function membersSubject(port: { name: string; version: number }): string {
  return `diptych.${port.name}.v${port.version}._members`;
}

export function encodeBeat(beat: Beat): Uint8Array {
  const { instance, state, sequence, inFlight, periodMs, leaseMs } = beat;
  const frame = new Uint8Array(BEAT_HEADER_BYTES + instance.length);
  const view = new DataView(frame.buffer);
  view.setUint8(0, BEAT);
  view.setUint8(1, VERSION);
  view.setUint8(2, STATES.indexOf(state));
  view.setUint32(3, sequence);
  view.setUint32(7, inFlight);
  view.setUint16(11, Math.min(0xffff, Math.round(periodMs)));
  view.setUint16(13, Math.min(0xffff, Math.max(0, Math.floor(leaseMs))));
  view.setUint8(15, instance.length);
  for (let i = 0; i < instance.length; i++) frame[BEAT_HEADER_BYTES + i] = instance.charCodeAt(i);
  return frame;
}

/** Whoever sent the beat speaks another version, or none. */
export class OtherVersionError extends RangeError {}

/** @throws OtherVersionError when it is a beat of another version, RangeError when the bytes are no beat */
export function parseBeat(frame: Uint8Array): Beat {
  if (frame[0] === BEAT_WITHOUT_VERSION) throw new OtherVersionError(`its beat has no version; this side reads version ${VERSION}`);
  if (frame.byteLength < 2 || frame[0] !== BEAT) throw new RangeError('it is no beat');
  if (frame[1] !== VERSION) throw new OtherVersionError(`its beat is of version ${frame[1]}; this side reads version ${VERSION}`);
  if (frame.byteLength < BEAT_HEADER_BYTES) throw new RangeError('its beat ends too soon');
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const state = STATES[view.getUint8(2)];
  const periodMs = view.getUint16(11);
  const instance = String.fromCharCode(...frame.subarray(BEAT_HEADER_BYTES, BEAT_HEADER_BYTES + view.getUint8(15)));
  if (state === undefined || periodMs === 0 || instance.length !== view.getUint8(15) || !INSTANCE.test(instance))
    throw new RangeError('its beat makes no sense');
  return { instance, state, sequence: view.getUint32(3), inFlight: view.getUint32(7), periodMs, leaseMs: view.getUint16(13) };
}

export function encodeAsk(membersKnown: number): Uint8Array {
  return Uint8Array.of(ASK, VERSION, Math.min(0xff, membersKnown >>> 8), membersKnown & 0xff);
}

/** How many members the asker knows; 0 when the bytes are no ask of this version, which asks all the same. */
export function parseAsk(frame: Uint8Array): number {
  return frame.byteLength >= 4 && frame[0] === ASK && frame[1] === VERSION ? frame[2]! * 256 + frame[3]! : 0;
}
