import { DiptychError } from '@diptych/kernel';

/**
 * A Nest pattern as a NATS subject: the same subject as with Nest's own transport, so that permissions, monitoring and plain clients need not
 * change. What NATS cannot have in a subject (white space and control characters, as in `{ cmd: 'get user' }`) is percent-encoded, as UTF-8.
 *
 * @param route the normalized pattern: `orders.create`, `orders.*`, `{"cmd":"sum"}`
 */
export function subjectOfRoute(route: string): string {
  return route.replace(/[\u0000-\u0020\u007f]|\s/g, (character) =>
    Buffer.from(character).reduce((text, byte) => `${text}%${byte.toString(16).padStart(2, '0')}`, ''),
  );
}

/** @throws INVALID_REQUEST for a pattern that NATS could not deliver */
export function assertRoute(route: unknown, wildcards: boolean): asserts route is string {
  if (typeof route !== 'string') throw new DiptychError('INVALID_REQUEST', `a pattern is text, a number or an object, not ${typeof route}`);
  const tokens = route.split('.');
  // Of a serialized object every dot lies within quotes, and NATS splits it all the same; so the rule is one for all.
  if (tokens.includes('')) throw new DiptychError('INVALID_REQUEST', `the pattern '${route}' has an empty part between its dots`);
  if (wildcards ? tokens.slice(0, -1).includes('>') : tokens.includes('*') || tokens.includes('>'))
    throw new DiptychError(
      'INVALID_REQUEST',
      wildcards ? `in the pattern '${route}' a '>' is not last` : `the pattern '${route}' has a wildcard: that is for handlers only`,
    );
}
