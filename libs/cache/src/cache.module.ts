import type { Guards, Token } from '@diptych/host';
import { GUARDS, GuardsModule, LIFETIME, NATS_LINK, NatsModule, provideSettings, TELEMETRY } from '@diptych/host';
import type { Lifetime } from '@diptych/kernel';
import type { LogPort } from '@diptych/log';
import { LOG_PORT, logPort } from '@diptych/log';
import type { NatsLink } from '@diptych/messaging';
import { inProcess } from '@diptych/messaging';
import type { Telemetry } from '@diptych/telemetry';
import { measured } from '@diptych/telemetry';
import type { DynamicModule } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { cacheMetrics } from './cache-metrics.js';
import type { CachePort } from './cache.port.js';
import type { CacheSettings } from './cache.settings.js';
import { CACHE_SETTINGS } from './cache.settings.js';
import { cachePort } from './cache.wire.js';
import { CoherentCache } from './engine/coherent-cache.js';

/** The cache, wherever it is. Known in the whole process once one CacheModule provides it. */
export const CACHE_PORT: Token<CachePort> = Symbol('CACHE_PORT');

/**
 * Where the cache is, in one line of an app's module:
 *
 *   CacheModule.inProcess()   its memory is this process's; reads LOG_PORT, whichever binding that has
 *   CacheModule.overNats()    it is another process
 *   CacheModule.served()      besides: answers for it over NATS
 */
@Module({})
export class CacheModule {
  /** Provides CACHE_PORT from memory and LOG_PORT. Starts even when the log cannot be reached yet, and is not ready until then. */
  static inProcess(): DynamicModule {
    return {
      module: CacheModule,
      global: true,
      imports: [GuardsModule],
      providers: [
        provideSettings(SETTINGS, CACHE_SETTINGS),
        { provide: CACHE_PORT, inject: [SETTINGS, LOG_PORT, LIFETIME, TELEMETRY, GUARDS], useFactory: openCache },
      ],
      exports: [CACHE_PORT],
    };
  }

  /** Provides CACHE_PORT as a client of whoever serves it. */
  static overNats(): DynamicModule {
    return {
      module: CacheModule,
      global: true,
      imports: [NatsModule],
      providers: [
        {
          provide: CACHE_PORT,
          inject: [NATS_LINK, TELEMETRY],
          useFactory: (link: NatsLink, { metrics }: Telemetry) => measured(link.client(cachePort), cachePort, metrics, 'nats'),
        },
      ],
      exports: [CACHE_PORT],
    };
  }

  /** Answers for this process's CACHE_PORT over NATS. A stop answers what was accepted first. */
  static served(): DynamicModule {
    return {
      module: CacheModule,
      imports: [NatsModule],
      providers: [
        {
          provide: SERVER,
          inject: [CACHE_PORT, NATS_LINK, LIFETIME],
          useFactory: async (port: CachePort, link: NatsLink, lifetime: Lifetime) => {
            const responder = await link.serve(cachePort, port);
            lifetime.own('cache.served', () => responder.drain(DRAIN_MS));
            return responder;
          },
        },
      ],
    };
  }
}

const SETTINGS = Symbol('CACHE_SETTINGS');
const SERVER = Symbol('CACHE_SERVER');
const DRAIN_MS = 10_000;

async function openCache(
  settings: CacheSettings,
  log: LogPort,
  lifetime: Lifetime,
  telemetry: Telemetry,
  guards: Guards,
): Promise<CachePort> {
  const { health, logger, metrics } = telemetry;
  // Whoever follows the log asks for what it missed until it gets it, in its own time.
  const cache = await CoherentCache.open(guards.before('cache', logPort, log, ['committed']), {
    ...settings,
    lifetime,
    onFollowFailure: (error) => logger.warn({ err: error }, 'the cache could not ask the log for commits; it tries again'),
  });
  cacheMetrics(metrics, cache);
  // A cache that fell behind reads through and is right all the same, so a short lapse does not take it out of service.
  const behindMsMax = Math.max(settings.maxStaleMs, UNREADY_BEHIND_MS_MIN);
  lifetime.own(
    'cache.health',
    health.check('cache', () => {
      const { behindMs } = cache;
      if (behindMs <= behindMsMax) return { ok: true };
      return {
        ok: false,
        reason: behindMs === Infinity ? 'has not found the log yet' : `last heard of the log ${Math.round(behindMs)} ms ago`,
      };
    }),
  );
  return measured(inProcess(cachePort, guards.behind<CachePort>(cachePort, cache)), cachePort, metrics);
}

const UNREADY_BEHIND_MS_MIN = 3_000;
