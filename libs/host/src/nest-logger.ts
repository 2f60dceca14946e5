import type { LoggerService } from '@nestjs/common';
import type { Logger } from '@diptych/telemetry';

type Level = 'trace' | 'debug' | 'warn' | 'error' | 'fatal';

/** Nest's own messages, on our logger. What it tells of its progress is detail here; its warnings and errors keep their rank. */
export function nestLogger(logger: Logger): LoggerService {
  const at =
    (level: Level) =>
    (message: unknown, ...rest: unknown[]) => {
      const nest = typeof rest.at(-1) === 'string' ? rest.at(-1) : undefined;
      const err = message instanceof Error ? message : undefined;
      // What breaks a start goes to whoever called for it as well, who says it in a sentence.
      logger[nest === 'ExceptionHandler' ? 'debug' : level]({ nest, err }, err ? err.message : String(message));
    };
  return { log: at('debug'), error: at('error'), warn: at('warn'), debug: at('debug'), verbose: at('trace'), fatal: at('fatal') };
}
