import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

/** What each connection is made of: a socket, and when it began and ended. */
export interface Dial {
  readonly socket: Socket;
  readonly beganMs: number;
  endedMs: number;
  pings: number;
}

export interface ScriptedBroker {
  readonly dials: readonly Dial[];
  readonly port: number;
  /** Takes connections from now on, and says nothing. */
  mute(): void;
  close(): Promise<void>;
}

/** A broker that greets, answers pings, and does with the nth connection what the test says when a ping comes. */
export async function startScriptedBroker(
  onPing: (dial: Dial, nth: number) => 'answer' | 'drop' = () => 'answer',
  greeting = GREETING,
): Promise<ScriptedBroker> {
  const dials: Dial[] = [];
  let isMute = false;
  const server = createServer((socket) => {
    const dial = { socket, beganMs: performance.now(), endedMs: Number.POSITIVE_INFINITY, pings: 0 };
    const nth = dials.push(dial);
    socket.on('error', () => undefined).on('close', () => (dial.endedMs = performance.now()));
    if (isMute) return;
    socket.write(greeting);
    const lines = createInterface(socket).on('error', () => undefined);
    lines.on('line', (line) => {
      if (line !== 'PING') return;
      dial.pings++;
      if (onPing(dial, nth) === 'answer') socket.write('PONG\r\n');
      else socket.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    dials,
    port: (server.address() as AddressInfo).port,
    mute: () => (isMute = true),
    close() {
      dials.forEach(({ socket }) => socket.destroy());
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

const GREETING = 'INFO {"server_id":"x","version":"2.10.0","proto":1,"headers":true,"max_payload":1048576}\r\n';
