import type { ArmName, PartName } from '../dependency-table.js';

/** What docker-compose.yml holds. */
export type PanelName = Exclude<ArmName, 'monolith-threads'>;

/** Of one container. */
export interface Limit {
  readonly cpus: number;
  readonly memoryMb: number;
}

/**
 * What each container may use: the same in sum for both arms, the broker included. A quota is a container's own: what one does not use
 * no other gets, as on any platform that runs containers.
 */
export const LIMITS: Readonly<Record<PanelName, Readonly<Partial<Record<PartName, Limit>>>>> = {
  monolith: { monolith: { cpus: 1, memoryMb: 1_536 } },
  services: {
    gateway: { cpus: 0.4, memoryMb: 384 },
    cache: { cpus: 0.2, memoryMb: 384 },
    log: { cpus: 0.2, memoryMb: 512 },
    nats: { cpus: 0.2, memoryMb: 256 },
  },
};

export function partsOf(arm: PanelName): PartName[] {
  return Object.keys(LIMITS[arm]) as PartName[];
}

/** What each arm's containers may use, in a sentence. */
export function limitsInWords(): string {
  const arms = (Object.keys(LIMITS) as PanelName[]).map((arm) => {
    const parts = partsOf(arm).map((part) => {
      const { cpus, memoryMb } = LIMITS[arm][part]!;
      return `${part === arm ? '' : `${part} `}${cpus} CPU and ${memoryMb} MiB`;
    });
    return `${arm} ${parts.join(', ')}`;
  });
  return `in containers held to quotas: ${arms.join('; ')}`;
}

/** As docker-compose.yml wants them. */
export function limitVariables(arm: PanelName): Record<string, string> {
  return Object.fromEntries(
    partsOf(arm).flatMap((part) => {
      const { cpus, memoryMb } = LIMITS[arm][part]!;
      return [
        [`${part.toUpperCase()}_CPUS`, String(cpus)],
        [`${part.toUpperCase()}_MEMORY`, `${memoryMb}m`],
      ];
    }),
  );
}
