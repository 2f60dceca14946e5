import { expect, it } from 'vitest';
import { operationFor, operationOf, valueOf } from './operations.js';

it.each(['hit', 'miss'] as const)('a %s is right only with a value of its own key', (capability) => {
  const { bodyPrefix, path, statuses } = operationFor(capability, 'città/1', 'load-3', 64);
  const seen = (key: string) => Buffer.from(valueOf(key, 'load-3', 64)).toString('latin1');
  expect(seen('città/1').startsWith(bodyPrefix!)).toBe(true);
  expect(seen('città/12').startsWith(bodyPrefix!)).toBe(false);
  expect(seen('other').startsWith(bodyPrefix!)).toBe(false);
  expect(path).toBe('/v1/keys/citt%C3%A0%2F1');
  expect(statuses).toEqual([200]);
});

it('a list and a report are right only with a JSON object, and writes and deletes by their status', () => {
  expect(operationFor('list', 'k', 'o', 1).bodyPrefix).toBe('{');
  expect(operationFor('report', 'k', 'o', 1).bodyPrefix).toBe('{');
  expect(operationFor('put', 'k', 'o', 8)).toMatchObject({ method: 'PUT', body: 'k|o|....', statuses: [201, 204] });
  expect(operationFor('delete', 'k', 'o', 8)).toMatchObject({ method: 'DELETE', body: undefined, statuses: [204] });
  expect(operationFor('health', 'k', 'o', 8)).toMatchObject({ method: 'GET', path: '/health/live', statuses: [200] });
});

it('a value says which write wrote it, and one of another key or form says nothing', () => {
  expect(operationOf('k', valueOf('k', 'load-3', 32))).toBe('load-3');
  expect(operationOf('k', valueOf('k2', 'load-3', 32))).toBeUndefined();
  expect(operationOf('k', 'k|cut off')).toBeUndefined();
});
