import type { ArmName } from './panels.js';

/** What a panel costs when nobody asks it anything. */
export interface Footprint {
  readonly imageBytes: number;
  /** `docker compose up` of both panels, images built before, until all are healthy. */
  readonly upMs: number;
  readonly arms: Readonly<Record<ArmName, { readonly memoryBytes: number; readonly startMs: number }>>;
}
