import type { DiptychError } from '@diptych/kernel';

/**
 * Hears of what went wrong where no caller can be told: an event that was dropped, a listener that threw, a frame that cannot
 * be read, the cause behind an INTERNAL answer. Must not throw.
 */
export type FaultListener = (fault: DiptychError) => void;

/** Faults are never silent: unless somebody listens they are warnings of the process. */
export const warnOfFault: FaultListener = (fault) => process.emitWarning(fault.message, { type: 'DiptychFault', code: fault.code });
