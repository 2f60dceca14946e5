import type { Guards, Token } from '@diptych/host';
import {
  GUARDS,
  GuardsModule,
  LIFETIME,
  MAIN_THREAD,
  NATS_LINK,
  NatsModule,
  OTHER_THREADS,
  provideSettings,
  TELEMETRY,
} from '@diptych/host';
import type { Lifetime } from '@diptych/kernel';
import type { LogPort } from '@diptych/log';
import { LOG_PORT, logPort } from '@diptych/log';
import type { NatsLink } from '@diptych/messaging';
import { inProcess } from '@diptych/messaging';
import type { Telemetry } from '@diptych/telemetry';
import { measured } from '@diptych/telemetry';
import type { DynamicModule, OnApplicationBootstrap } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { cacheMetrics } from './cache-metrics.js';
import type { CachePort } from './cache.port.js';
import type { CacheRoutingSettings, CacheSettings } from './cache.settings.js';
import { CACHE_ROUTING_SETTINGS, CACHE_SETTINGS } from './cache.settings.js';
import { cachePort } from './cache.wire.js';
import { CoherentCache } from './engine/coherent-cache.js';
import { keepSharedCache, openThreadCache } from './cache-of-threads.js';
import { warmAtStart } from './warm-at-start.js';

/** The cache, wherever it is. Known in the whole process once one CacheModule provides it. */
export const CACHE_PORT: Token<CachePort> = Symbol('CACHE_PORT');

/**
 * Where the cache is, in one line of an app's module:
 *
 *   CacheModule.inProcess()   its memory is this process's; reads LOG_PORT, whichever binding that has
 *   CacheModule.overNats()    it is another process
 *   CacheModule.served()      besides: answers for it over NATS
 *   CacheModule.shared()      its memory is that of all threads of this process
 *   CacheModule.toThreads()   in the main thread: makes that memory, and keeps it right by LOG_PORT
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

  /** Provides CACHE_PORT from memory that all threads share, and LOG_PORT, which leads to the main thread. */
  static shared(): DynamicModule {
    return {
      module: CacheModule,
      global: true,
      imports: [GuardsModule],
      providers: [
        provideSettings(SETTINGS, CACHE_SETTINGS),
        { provide: CACHE_PORT, inject: [SETTINGS, LOG_PORT, MAIN_THREAD, LIFETIME, TELEMETRY, GUARDS], useFactory: openThreadCache },
      ],
      exports: [CACHE_PORT],
    };
  }

  /** Makes the memory that the other threads share, takes out of it what is committed, and frees what a thread that died had locked. */
  static toThreads(): DynamicModule {
    return {
      module: CacheModule,
      providers: [
        provideSettings(SETTINGS, CACHE_SETTINGS),
        { provide: SERVER, inject: [SETTINGS, LOG_PORT, OTHER_THREADS, LIFETIME, TELEMETRY], useFactory: keepSharedCache },
      ],
    };
  }

  /**
   * Provides CACHE_PORT as a client of whoever serves it. `DIPTYCH_ROUTING_CACHE` says which of several caches a read goes to:
   *
   *   any   the less loaded of two live ones that are picked at random
   *   key   the owner of the key by rendezvous hashing over the live ones
   *
   * Every cache follows the whole log and is right about every key, whoever owns it. So ownership is about memory and hits, never about
   * truth, and needs no agreement: two callers that for a moment know different caches are both answered rightly.
   *
   * *The owner dies:* what it had in flight is CONNECTION_LOST within half a second, and tried again by the guards; its keys, and no others, go
   * to those that come next in their order, which read them from the log once. *It freezes:* calls to it run to their deadlines for about 0.8 s
   * until it is ejected, then the same; it is back with its first beat, behind, and reads through until it has caught up.
   * *One is added, or comes back:* it gets its share of the keys, cold; who had them before keeps them right until they are the least recently used.
   */
  static overNats(): DynamicModule {
    return {
      module: CacheModule,
      global: true,
      imports: [NatsModule],
      providers: [
        provideSettings(ROUTING, CACHE_ROUTING_SETTINGS),
        {
          provide: CACHE_PORT,
          inject: [NATS_LINK, TELEMETRY, ROUTING],
          useFactory: (link: NatsLink, { metrics }: Telemetry, { cache }: CacheRoutingSettings) =>
            measured(link.client(cachePort, { ownedByKey: cache === 'key' }), cachePort, metrics, 'nats'),
        },
      ],
      exports: [CACHE_PORT],
    };
  }

  /**
   * Answers for this process's CACHE_PORT over NATS, from when all else of its modules has started: what it is given before that would wait for the rest of
   * the start, half a second at a quarter of a core, while the other caches could have answered. A stop answers what was accepted first.
   */
  static served(): DynamicModule {
    return {
      module: CacheModule,
      imports: [NatsModule],
      providers: [
        {
          provide: SERVER,
          inject: [CACHE_PORT, NATS_LINK, LIFETIME],
          useFactory: (port: CachePort, link: NatsLink, lifetime: Lifetime): OnApplicationBootstrap => ({
            async onApplicationBootstrap() {
              const responder = await link.serve(cachePort, port);
              lifetime.own('cache.served', () => responder.drain(DRAIN_MS));
            },
          }),
        },
      ],
    };
  }
}

const SETTINGS = Symbol('CACHE_SETTINGS');
const ROUTING = Symbol('CACHE_ROUTING');
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
  const source = guards.before('cache', logPort, log, ['committed']);
  const cache = await CoherentCache.open(source, {
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
  await warmAtStart(cache, source, settings, lifetime, telemetry);
  return measured(inProcess(cachePort, guards.behind<CachePort>(cachePort, cache)), cachePort, metrics);
}

const UNREADY_BEHIND_MS_MIN = 3_000;
