import { readFileSync } from 'node:fs';
import { Module } from '@nestjs/common';
import type { Lifetime } from '@diptych/kernel';
import { connectNats, type NatsLink, type TlsOptions } from '@diptych/messaging';
import { readMetrics, type Telemetry } from '@diptych/telemetry';
import { Type } from 'typebox';
import { defineSettings, provideSettings, type SettingsOf } from './settings.js';
import { SettingsError } from './environment.js';
import { LIFETIME, TELEMETRY, type Token } from './tokens.js';

/** The connection of this process to the broker; there is one, however many modules import NatsModule. */
export const NATS_LINK: Token<NatsLink> = Symbol('NATS_LINK');

const NATS_PROPERTIES = {
  url: Type.String({
    default: 'nats://127.0.0.1:4222',
    description: 'Where the broker is; several addresses are separated by commas. May hold credentials: it is never written to a message.',
    pattern: '^(nats|tls)://[^\\s,]+(,(nats|tls)://[^\\s,]+)*$',
    allowed: 'one or more addresses like nats://127.0.0.1:4222, separated by commas',
    secret: true,
  }),
  connectTimeoutMs: Type.Integer({
    default: 5_000,
    minimum: 1,
    maximum: 600_000,
    description: 'How long the start waits for the broker before it gives up, in milliseconds.',
  }),
  drainMs: Type.Integer({
    default: 10_000,
    minimum: 0,
    maximum: 600_000,
    description: 'How long a stop waits for calls that have been accepted over NATS, in milliseconds.',
  }),
  tlsCaFile: Type.Optional(
    Type.String({ description: 'The authorities, as PEM, that the broker is believed by. With it there is no connection without TLS.' }),
  ),
  tlsCertFile: Type.Optional(
    Type.String({
      description: 'The certificate, as PEM, of this process, for brokers that ask for one. With it there is no connection without TLS.',
    }),
  ),
  tlsKeyFile: Type.Optional(Type.String({ description: 'The key to that certificate, as PEM.' })),
};

export const NATS_SETTINGS = defineSettings('nats', NATS_PROPERTIES, (settings) => void tlsOf(settings));

/** Undefined when nothing is said of it: then the addresses and the broker decide. @throws SettingsError */
function tlsOf({
  tlsCaFile,
  tlsCertFile,
  tlsKeyFile,
}: {
  tlsCaFile?: string;
  tlsCertFile?: string;
  tlsKeyFile?: string;
}): TlsOptions | undefined {
  if ((tlsCertFile === undefined) !== (tlsKeyFile === undefined))
    throw new SettingsError(['DIPTYCH_NATS_TLS_CERT_FILE and DIPTYCH_NATS_TLS_KEY_FILE belong together; set both or neither']);
  if (tlsCaFile === undefined && tlsCertFile === undefined) return undefined;
  return {
    ...(tlsCaFile !== undefined && { ca: pemIn(tlsCaFile, 'CA') }),
    ...(tlsCertFile !== undefined && { cert: pemIn(tlsCertFile, 'CERT') }),
    ...(tlsKeyFile !== undefined && { key: pemIn(tlsKeyFile, 'KEY') }),
  };
}

function pemIn(path: string, what: string): string {
  const variable = `DIPTYCH_NATS_TLS_${what}_FILE`;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new SettingsError([`${variable} is ${JSON.stringify(path)}, which cannot be read: ${(error as Error).message}`]);
  }
  if (!text.includes('-----BEGIN ')) throw new SettingsError([`${variable} is ${JSON.stringify(path)}, which holds no PEM`]);
  return text;
}

const SETTINGS = Symbol('NATS_SETTINGS');

/**
 * Provides NATS_LINK. Ready only while connected. The client comes back by itself after a lost connection; calls made meanwhile fail at once with
 * UNAVAILABLE.
 */
@Module({
  providers: [
    provideSettings(SETTINGS, NATS_SETTINGS),
    {
      provide: NATS_LINK,
      inject: [SETTINGS, LIFETIME, TELEMETRY],
      useFactory: async (settings: SettingsOf<typeof NATS_SETTINGS>, lifetime: Lifetime, { health, logger, metrics, name }: Telemetry) => {
        const tls = tlsOf(settings);
        const link = await connectNats({
          servers: settings.url.split(','),
          name,
          ...(tls && { tls }),
          connectTimeoutMs: settings.connectTimeoutMs,
          onFault: (fault) => logger.warn({ err: fault }, 'a fault that no caller could be told of'),
        });
        lifetime.own('nats', () => link.close(settings.drainMs));
        const listening = link.onStatus((status) => {
          if (status === 'disconnected') logger.warn('the connection to NATS is lost; trying to reconnect');
          else logger.info(`the connection to NATS is ${status}`);
        });
        lifetime.own('nats.status', listening);
        lifetime.own(
          'nats.health',
          health.check('nats', () => ({ ok: link.status === 'connected', reason: `the connection to NATS is ${link.status}` })),
        );
        const { counter, gauge } = readMetrics(metrics);
        gauge('diptych_nats_calls_in_flight', 'Calls to other processes that wait for an answer.', () => link.inFlight);
        gauge('diptych_nats_members', 'Instances of other parts that are known to serve.', () => link.routing.members);
        gauge('diptych_nats_members_ejected', 'Those of them that get no calls because they fell silent.', () => link.routing.ejected);
        counter('diptych_nats_ejections_total', 'How often an instance was ejected for its silence.', () => link.routing.ejections);
        return link;
      },
    },
  ],
  exports: [NATS_LINK],
})
export class NatsModule {}
