import { readFileSync } from 'node:fs';
import type { Server } from 'node:net';
import { CACHE_PORT, type CachePort } from '@diptych/cache';
import { HTTP_EDGE, provideSettings, SettingsError, TELEMETRY, type HttpEdge } from '@diptych/host';
import { LOG_PORT, type LogPort } from '@diptych/log';
import type { Telemetry } from '@diptych/telemetry';
import { Module, type DynamicModule } from '@nestjs/common';
import { ApiKeys, keysInFile } from './api-key.js';
import { Gateway } from './gateway.js';
import { isLoopback } from './loopback.js';
import { registerGateway } from './register-gateway.js';
import { GATEWAY_SETTINGS, type GatewaySettings } from './settings.js';

const SETTINGS = Symbol('GATEWAY_SETTINGS');
export const GATEWAY = Symbol('GATEWAY');

/** The HTTP interface of the system, on the HTTP server of the process. Needs LOG_PORT and CACHE_PORT from modules beside it. */
@Module({})
export class GatewayModule {
  /**
   * A start fails with a sentence when the address can be reached from other machines and no API key is set, unless that is
   * said to be meant.
   */
  static http(): DynamicModule {
    return {
      module: GatewayModule,
      providers: [
        provideSettings(SETTINGS, GATEWAY_SETTINGS),
        {
          provide: GATEWAY,
          inject: [SETTINGS, LOG_PORT, CACHE_PORT, HTTP_EDGE, TELEMETRY],
          useFactory: (settings: GatewaySettings, log: LogPort, cache: CachePort, edge: HttpEdge, telemetry: Telemetry) => {
            const apiKeys = apiKeysOf(settings);
            assertGuarded(edge.fastify.server, apiKeys, settings);
            const gateway = new Gateway(
              { log, cache },
              {
                requestTimeoutMs: settings.requestTimeoutMs,
                inFlightMax: settings.inFlightMax,
                bodyBytesMax: settings.bodyBytesMax,
                apiKeys,
                onDefect: (error, operation) =>
                  telemetry.logger.error({ err: error.cause ?? error, operation }, 'a request failed by a defect'),
              },
            );
            registerGateway(edge, gateway);
            telemetry.metrics.registerMetric(gateway.meter.metric() as never);
            return gateway;
          },
        },
      ],
    };
  }
}

/** @throws SettingsError */
function apiKeysOf(settings: GatewaySettings): ApiKeys | undefined {
  const keys = settings.apiKey === undefined ? [] : [settings.apiKey];
  if (settings.apiKeysFile !== undefined) keys.push(...keysOfFile(settings.apiKeysFile));
  if (keys.length === 0) return undefined;
  try {
    return new ApiKeys(keys);
  } catch (error) {
    throw new SettingsError([`the keys in DIPTYCH_GATEWAY_API_KEYS_FILE cannot be used: ${(error as Error).message}`]);
  }
}

function keysOfFile(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new SettingsError([
      `DIPTYCH_GATEWAY_API_KEYS_FILE is ${JSON.stringify(path)}, which cannot be read: ${(error as Error).message}`,
    ]);
  }
  const keys = keysInFile(text);
  if (keys.length === 0) throw new SettingsError([`DIPTYCH_GATEWAY_API_KEYS_FILE is ${JSON.stringify(path)}, which has no key in it`]);
  return keys;
}

/** @throws SettingsError when strangers could come in and nobody said they may */
function assertGuarded(server: Server, apiKeys: ApiKeys | undefined, settings: GatewaySettings): void {
  const address = server.address();
  if (apiKeys || settings.allowAnonymous || address === null || typeof address === 'string' || isLoopback(address.address)) return;
  throw new SettingsError([
    `the gateway would listen on ${address.address}, which other machines can reach, without an API key; set DIPTYCH_GATEWAY_API_KEY or ` +
      'DIPTYCH_GATEWAY_API_KEYS_FILE, or DIPTYCH_GATEWAY_ALLOW_ANONYMOUS=true if everybody may do everything',
  ]);
}
