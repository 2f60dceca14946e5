import { join } from 'node:path';
import type { Guards, MainThread, OtherThreads, Token } from '@diptych/host';
import {
  GUARDS,
  GuardsModule,
  LIFETIME,
  MAIN_THREAD,
  NATS_LINK,
  NatsModule,
  OTHER_THREADS,
  TELEMETRY,
  provideSettings,
} from '@diptych/host';
import type { Lifetime } from '@diptych/kernel';
import type { NatsLink, Responder } from '@diptych/messaging';
import { inProcess } from '@diptych/messaging';
import type { Telemetry } from '@diptych/telemetry';
import { measured } from '@diptych/telemetry';
import type { DynamicModule } from '@nestjs/common';
import { Module } from '@nestjs/common';
import { openFileLog } from './engine/file-log.js';
import { keepingReports, KeptReports } from './kept-reports.js';
import { batchMetrics, reportMetrics, statusMetrics } from './log-metrics.js';
import type { LogPort } from './log.port.js';
import type { LogSettings } from './log.settings.js';
import { LOG_SETTINGS } from './log.settings.js';
import { logPort } from './log.wire.js';
import { assertSoleLog, headOf, OtherLogWatch } from './sole-log.js';

/** The log, wherever it is. Known in the whole process once one LogModule provides it. */
export const LOG_PORT: Token<LogPort> = Symbol('LOG_PORT');

/**
 * Where the log is, in one line of an app's module:
 *
 *   LogModule.inProcess()   its files are this process's
 *   LogModule.overNats()    it is another process
 *   LogModule.served()      besides: answers for it over NATS
 *   LogModule.inMain()      it is in the main thread of this process
 *   LogModule.toThreads()   besides: answers for it in the other threads
 */
@Module({})
export class LogModule {
  /** Provides LOG_PORT from files in `DIPTYCH_LOG_DATA_DIR`. On stop, what was accepted is finished before the files close. */
  static inProcess(): DynamicModule {
    return {
      module: LogModule,
      global: true,
      imports: [GuardsModule],
      providers: [
        provideSettings(SETTINGS, LOG_SETTINGS),
        { provide: LOG_PORT, inject: [SETTINGS, LIFETIME, TELEMETRY, GUARDS], useFactory: openLog },
      ],
      exports: [LOG_PORT],
    };
  }

  /** Provides LOG_PORT as a client of whoever serves it. */
  static overNats(): DynamicModule {
    return {
      module: LogModule,
      global: true,
      imports: [NatsModule],
      providers: [
        {
          provide: LOG_PORT,
          inject: [NATS_LINK, TELEMETRY],
          useFactory: (link: NatsLink, { metrics }: Telemetry) => measured(link.client(logPort), logPort, metrics, 'nats'),
        },
      ],
      exports: [LOG_PORT],
    };
  }

  /** Provides LOG_PORT as a client of the main thread, which has one log and one writer for all. */
  static inMain(): DynamicModule {
    return {
      module: LogModule,
      global: true,
      providers: [
        {
          provide: LOG_PORT,
          inject: [MAIN_THREAD, TELEMETRY],
          useFactory: ({ link }: MainThread, { metrics }: Telemetry) => measured(link.client(logPort), logPort, metrics, 'thread'),
        },
      ],
      exports: [LOG_PORT],
    };
  }

  /** Answers for this thread's LOG_PORT in all others. They end before the log does, so that it answers what they have accepted. */
  static toThreads(): DynamicModule {
    return {
      module: LogModule,
      providers: [
        {
          provide: SERVER,
          inject: [LOG_PORT, OTHER_THREADS],
          useFactory: (log: LogPort, threads: OtherThreads) => threads.serve(logPort, log) ?? true,
        },
      ],
    };
  }

  /**
   * Answers for this process's LOG_PORT over NATS. A stop answers what was accepted first. Does not start while another log serves on
   * the broker, and stops answering, not ready until a restart, when another one turns up.
   */
  static served(): DynamicModule {
    return {
      module: LogModule,
      imports: [NatsModule],
      providers: [
        {
          provide: SERVER,
          inject: [LOG_PORT, NATS_LINK, LIFETIME, TELEMETRY],
          useFactory: serveLog,
        },
      ],
    };
  }
}

const SETTINGS = Symbol('LOG_SETTINGS');
const SERVER = Symbol('LOG_SERVER');
const DRAIN_MS = 10_000;

async function serveLog(log: LogPort, link: NatsLink, lifetime: Lifetime, { logger, health }: Telemetry): Promise<Responder> {
  const own = await headOf(log);
  await assertSoleLog(link);
  const responder = await link.serve(logPort, log);
  lifetime.own('log.served', () => responder.drain(DRAIN_MS));
  let other: string | undefined;
  const onOther = (incarnation: string) => {
    other =
      `another log (incarnation ${incarnation}) serves on this broker; this one (incarnation ${own.incarnation}) has stopped answering; ` +
      'end the one that is not meant, then restart the other';
    logger.error({ incarnation: own.incarnation, other: incarnation }, other);
    void responder.drain(DRAIN_MS);
  };
  lifetime.own('log.sole', new OtherLogWatch(link, own, onOther));
  lifetime.own(
    'log.sole.health',
    health.check('log.sole', () => ({ ok: other === undefined, reason: other })),
  );
  return responder;
}

async function openLog(settings: LogSettings, lifetime: Lifetime, telemetry: Telemetry, guards: Guards): Promise<LogPort> {
  const { logger, metrics, health } = telemetry;
  const directory = settings.dataDir ?? join('data', telemetry.name);
  const startedMs = performance.now();
  const log = await openFileLog({
    directory,
    segmentBytes: settings.segmentBytes,
    channelCapacity: settings.channelCapacity,
    queueBytesMax: settings.queueBytesMax,
    dedupeCountMax: settings.dedupeCount,
    dedupeMs: settings.dedupeMs,
    compactionGarbageRatio: settings.compactionGarbageRatio,
    compactionGarbageBytes: settings.compactionGarbageBytes,
    compactionBytesPerSecond: settings.compactionBytesPerSecond,
    reportMode: settings.reportMode,
    onWarning: (message) => logger.warn(message),
    onBatch: batchMetrics(metrics),
  });
  lifetime.own('log.file', () => log.close());
  statusMetrics(metrics, () => log.status);
  lifetime.own(
    'log.health',
    health.check('log', () => {
      const { writable, reason } = log.status;
      return { ok: writable, reason };
    }),
  );
  const { keys, headRevision, diskBytes } = log.status;
  logger.info({ directory, keys, headRevision, diskBytes, openMs: Math.round(performance.now() - startedMs) }, 'the log is open');
  const port = settings.reportsKept > 0 ? await keepReports(log, settings.reportsKept, lifetime, metrics) : log;
  return measured(inProcess(logPort, guards.behind<LogPort>(logPort, port)), logPort, metrics);
}

async function keepReports(log: LogPort, reportsMax: number, lifetime: Lifetime, metrics: Telemetry['metrics']): Promise<LogPort> {
  const reports = lifetime.own('log.reports', await KeptReports.open(log, { reportsMax }));
  reportMetrics(metrics, () => reports.counts());
  return keepingReports(log, reports);
}
