import { isDiptychError } from '@diptych/kernel';
import pino from 'pino';

export type { Logger } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * One JSON object a line, on stdout unless told otherwise, written before the call returns, so that a crash loses none.
 * Levels are words and times are ISO 8601, because people read these lines too.
 */
export function createLogger(options: {
  name: string;
  level: LogLevel;
  destination?: pino.DestinationStream;
  thread?: number;
}): pino.Logger {
  return pino(
    {
      name: options.name,
      level: options.level,
      base: { name: options.name, pid: process.pid, ...(options.thread !== undefined && { thread: options.thread }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: errorRecord },
    },
    options.destination ?? pino.destination({ fd: 1, sync: true }),
  );
}

/** Errors of the table happen in the best of systems and say it all in their message; a stack is for what ought not to happen. */
function errorRecord(error: unknown): unknown {
  if (!isDiptychError(error) || error.code === 'INTERNAL') return error instanceof Error ? pino.stdSerializers.err(error) : error;
  const { code, message, definite, cause } = error;
  return { code, message, definite, cause: cause instanceof Error ? cause.message : undefined };
}
