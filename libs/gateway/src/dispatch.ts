import type { Exchange } from './exchange.js';
import { deleteKey, getKey, putKey } from './keys.js';
import { OPERATIONS, type OperationId } from './operations.js';
import { getOpenApi, getReport, listKeys } from './queries.js';
import type { Resource } from './target.js';

export interface Operation {
  readonly id: OperationId;
  readonly run: (exchange: Exchange) => Promise<void>;
  readonly writes: boolean;
}

const RUN: Readonly<Record<Exclude<OperationId, 'none'>, Operation['run']>> = {
  getKey,
  headKey: getKey,
  putKey,
  deleteKey,
  listKeys,
  headKeys: listKeys,
  getReport,
  headReport: getReport,
  getOpenApi,
  headOpenApi: getOpenApi,
};

const BY_RESOURCE = new Map<Resource, Map<string, Operation>>();
for (const { id, method, resource } of OPERATIONS) {
  const methods = BY_RESOURCE.get(resource) ?? new Map<string, Operation>();
  BY_RESOURCE.set(resource, methods.set(method, { id, run: RUN[id], writes: method === 'PUT' || method === 'DELETE' }));
}

export function operationOf(resource: Resource, method: string): Operation | undefined {
  return BY_RESOURCE.get(resource)!.get(method);
}

export function methodsOf(resource: Resource): readonly string[] {
  return [...BY_RESOURCE.get(resource)!.keys()];
}
