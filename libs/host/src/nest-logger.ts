import type { LoggerService } from '@nestjs/common';
import type { Logger } from '@diptych/telemetry';

/** Nest's own messages, on our logger. What it tells of its progress is detail here; its warnings and errors keep their rank. */
export function nestLogger(logger: Logger): LoggerService {
  const at =
    (level: 'trace' | 'debug' | 'warn' | 'error' | 'fatal') =>
    (message: unknown, ...rest: unknown[]) => {
      const context = typeof rest.at(-1) === 'string' ? (rest.at(-1) as string) : undefined;
      const err = message instanceof Error ? message : undefined;
      logger[level]({ nest: context, err }, err ? err.message : String(message));
    };
  return { log: at('debug'), error: at('error'), warn: at('warn'), debug: at('debug'), verbose: at('trace'), fatal: at('fatal') };
}
