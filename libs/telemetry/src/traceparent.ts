import { randomBytes } from 'node:crypto';
import { isTraceparent } from '@diptych/kernel';

/** The W3C trace context, version 00 (https://www.w3.org/TR/trace-context/#traceparent-header). */
export interface TraceContext {
  /** 32 lower-case hexadecimal digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hexadecimal digits, not all zero. */
  readonly spanId: string;
  readonly sampled: boolean;
}

/**
 * Undefined when the text is not a traceparent: the standard then says to start a new trace. A later version is read by the
 * fields of version 00, as the standard asks.
 */
export function parseTraceparent(text: string | undefined): TraceContext | undefined {
  if (text === undefined || !isTraceparent(text)) return undefined;
  return { traceId: text.slice(3, 35), spanId: text.slice(36, 52), sampled: (parseInt(text.slice(53, 55), 16) & 1) === 1 };
}

export function formatTraceparent(context: TraceContext): string {
  return `00-${context.traceId}-${context.spanId}-${context.sampled ? '01' : '00'}`;
}

/** A new span in the trace of `parent`, or in a trace of its own. */
export function childOf(parent: TraceContext | undefined): TraceContext {
  return {
    traceId: parent?.traceId ?? nonZeroHex(16),
    spanId: nonZeroHex(8),
    sampled: parent?.sampled ?? false,
  };
}

function nonZeroHex(bytes: number): string {
  const random = randomBytes(bytes);
  random[bytes - 1]! |= 1;
  return random.toString('hex');
}
