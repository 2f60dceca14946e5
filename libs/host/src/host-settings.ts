import { LOG_LEVELS } from '@diptych/telemetry';
import { Type } from 'typebox';
import { defineSettings } from './settings.js';

/** @param port the default, which each app has its own of, so that all can run on one machine */
export function httpSettings(port: number) {
  return defineSettings('http', {
    host: Type.String({ default: '127.0.0.1', description: 'Address to listen on. 0.0.0.0 is every address of the machine.' }),
    port: Type.Integer({
      default: port,
      minimum: 0,
      maximum: 65_535,
      description: 'Port to listen on. 0 takes a free one; the ready line says which.',
    }),
    drainMs: Type.Integer({
      default: 10_000,
      minimum: 0,
      maximum: 600_000,
      description: 'How long a stop waits for requests that have been accepted, in milliseconds.',
    }),
    requestTimeoutMs: Type.Integer({
      default: 30_000,
      minimum: 1_000,
      maximum: 600_000,
      description: 'How long a client may take to send one whole request, in milliseconds. Slower is 408.',
    }),
  });
}

export const HOST_SETTINGS = defineSettings('host', {
  stopMs: Type.Integer({
    default: 25_000,
    minimum: 0,
    maximum: 600_000,
    description: 'How long a stop may take as a whole, in milliseconds. What has not ended by then is named, and the exit code is 1.',
  }),
});

export const TELEMETRY_SETTINGS = defineSettings('telemetry', {
  level: Type.Union(
    LOG_LEVELS.map((level) => Type.Literal(level)),
    { default: 'info', description: 'The least important diagnostics that are written, as JSON lines on stdout.' },
  ),
});
