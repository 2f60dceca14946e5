/**
 * Which capability needs which part, in each arm: written before the first run, and held against what the runs show. Where
 * reality differs the run says so; then this table is wrong, or the system is.
 */
export type ArmName = 'monolith' | 'services';
export type PartName = 'monolith' | 'gateway' | 'cache' | 'log' | 'nats';
export type Capability = 'hit' | 'miss' | 'put' | 'delete' | 'list' | 'report' | 'health';

export const CAPABILITIES: readonly Capability[] = ['hit', 'miss', 'put', 'delete', 'list', 'report', 'health'];

type Needs = Readonly<Record<Capability, readonly PartName[]>>;

const everything = ['monolith'] as const;

const NEEDS: Readonly<Record<ArmName, Needs>> = {
  monolith: {
    hit: everything,
    miss: everything,
    put: everything,
    delete: everything,
    list: everything,
    report: everything,
    health: everything,
  },
  services: {
    // A hit outlives the log only for as long as the cache may answer without a beacon (DIPTYCH_CACHE_MAX_STALE_MS).
    hit: ['gateway', 'nats', 'cache'],
    miss: ['gateway', 'nats', 'cache', 'log'],
    put: ['gateway', 'nats', 'log'],
    delete: ['gateway', 'nats', 'log'],
    list: ['gateway', 'nats', 'log'],
    report: ['gateway', 'nats', 'log'],
    health: ['gateway'],
  },
};

export function expectedToSurvive(arm: ArmName, capability: Capability, killed: PartName): boolean {
  return !NEEDS[arm][capability].includes(killed);
}
