import { CACHE_PORT, cachePort, type CachePort } from '@diptych/cache';
import { GUARDS, GuardsModule, HTTP_EDGE, provideSettings, TELEMETRY, type Guards, type HttpEdge } from '@diptych/host';
import { LOG_PORT, logPort, type LogPort } from '@diptych/log';
import type { Telemetry } from '@diptych/telemetry';
import { Module, type DynamicModule } from '@nestjs/common';
import { apiKeysOf, assertGuarded } from './access.js';
import { Gateway } from './gateway.js';
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
      imports: [GuardsModule],
      providers: [
        provideSettings(SETTINGS, GATEWAY_SETTINGS),
        {
          provide: GATEWAY,
          inject: [SETTINGS, LOG_PORT, CACHE_PORT, HTTP_EDGE, TELEMETRY, GUARDS],
          useFactory: (settings: GatewaySettings, log: LogPort, cache: CachePort, edge: HttpEdge, telemetry: Telemetry, guards: Guards) => {
            const apiKeys = apiKeysOf(settings);
            const address = edge.fastify.server.address();
            // Again, on the address itself: a name can come to mean another one in between.
            if (address !== null && typeof address !== 'string') assertGuarded([address.address], apiKeys, settings);
            const gateway = new Gateway(
              { log: guards.before('gateway', logPort, log), cache: guards.before('gateway', cachePort, cache) },
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
