import type { Resource } from './target.js';

export type OperationId = (typeof OPERATIONS)[number]['id'] | 'none';

/**
 * Every operation of the HTTP interface that the gateway owns. The OpenAPI document is held against this table. (`/health/live`,
 * `/health/ready` and `/metrics` belong to the host of the process.)
 */
export const OPERATIONS = [
  { id: 'getKey', method: 'GET', resource: 'key' },
  { id: 'headKey', method: 'HEAD', resource: 'key' },
  { id: 'putKey', method: 'PUT', resource: 'key' },
  { id: 'deleteKey', method: 'DELETE', resource: 'key' },
  { id: 'listKeys', method: 'GET', resource: 'keys' },
  { id: 'headKeys', method: 'HEAD', resource: 'keys' },
  { id: 'getReport', method: 'GET', resource: 'report' },
  { id: 'headReport', method: 'HEAD', resource: 'report' },
  { id: 'getOpenApi', method: 'GET', resource: 'openapi' },
  { id: 'headOpenApi', method: 'HEAD', resource: 'openapi' },
] as const satisfies ReadonlyArray<{ id: string; method: string; resource: Resource }>;

export const PATHS: Readonly<Record<Resource, string>> = {
  key: '/v1/keys/{key}',
  keys: '/v1/keys',
  report: '/v1/report',
  openapi: '/openapi.json',
};
