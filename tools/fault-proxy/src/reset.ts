import type { Socket } from 'node:net';

/**
 * Ends a connection at once, by a reset where the platform allows it. While an end is on its way, or a connection is only being made, libuv
 * refuses to reset, and Node would then never close the socket (24.21): that one is closed plainly.
 */
export function resetSocket(socket: Socket): void {
  const isEnding = socket.writableEnded && !socket.writableFinished;
  if (socket.connecting || isEnding) socket.destroy();
  else if (!socket.destroyed) socket.resetAndDestroy();
}
