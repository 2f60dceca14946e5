import { DiptychError } from '@diptych/kernel';
import { parsePosition, type Condition } from '@diptych/log';

/** Of a list in `If-Match` or `If-None-Match` (RFC 9110, section 8.8.3). */
export interface EntityTag {
  readonly weak: boolean;
  /** Without its quotes. */
  readonly opaque: string;
}

/** How many entity tags `If-Match` of a write may list: the bound of the log's `ifRevision`. */
export const IF_MATCH_TAGS_MAX = 16;

/** @throws INVALID_REQUEST when it is neither `*` nor a list of entity tags */
function parseEntityTags(header: string, name: string): '*' | readonly EntityTag[] {
  const text = header.trim();
  if (text === '*') return '*';
  const tags: EntityTag[] = [];
  LIST_ELEMENT.lastIndex = 0;
  while (LIST_ELEMENT.lastIndex < text.length) {
    const match = LIST_ELEMENT.exec(text);
    if (!match) throw new DiptychError('INVALID_REQUEST', `${name} is neither * nor a list of quoted entity tags`);
    if (match[2] !== undefined) tags.push({ weak: match[1] !== undefined, opaque: match[2] });
  }
  if (tags.length === 0) throw new DiptychError('INVALID_REQUEST', `${name} lists no entity tag`);
  return tags;
}

/** One element, possibly empty, up to and with its comma. Recipients accept empty elements (RFC 9110, section 5.6.1.2). */
const LIST_ELEMENT = /[ \t]*(?:(W\/)?"([\x21\x23-\x7e\x80-\xff]*)")?[ \t]*(?:,|$)/y;

/** Whether a read may be answered with 304. Compares weakly, as the standard says for `If-None-Match`. */
export function noneMatchFails(header: string, entityTag: string): boolean {
  const tags = parseEntityTags(header, 'If-None-Match');
  return tags === '*' || tags.some(({ opaque }) => `"${opaque}"` === entityTag);
}

/** Whether a read may go on. Compares strongly: a weak tag matches nothing. `entityTag` is undefined when there is no entry. */
export function matchHolds(header: string, entityTag: string | undefined): boolean {
  const tags = parseEntityTags(header, 'If-Match');
  if (entityTag === undefined) return false;
  return tags === '*' || tags.some(({ weak, opaque }) => !weak && `"${opaque}"` === entityTag);
}

/**
 * The condition of a write. `'never'` when no state of the log could satisfy it, for none of the tags is one of ours.
 *
 * @throws INVALID_REQUEST for what cannot be expressed: both headers at once, or `If-None-Match` with anything but `*`
 */
export function writeCondition(
  ifMatch: string | undefined,
  ifNoneMatch: string | undefined,
  method: 'PUT' | 'DELETE',
): Condition | 'never' | undefined {
  if (ifNoneMatch !== undefined) {
    if (ifMatch !== undefined) throw new DiptychError('INVALID_REQUEST', 'If-Match and If-None-Match exclude each other; send one of them');
    if (method === 'DELETE') throw new DiptychError('INVALID_REQUEST', 'If-None-Match has no meaning for DELETE; use If-Match');
    if (parseEntityTags(ifNoneMatch, 'If-None-Match') !== '*')
      throw new DiptychError('INVALID_REQUEST', 'If-None-Match of a PUT can only be *; to replace a known state use If-Match');
    return { kind: 'ifAbsent' };
  }
  if (ifMatch === undefined) return undefined;
  const tags = parseEntityTags(ifMatch, 'If-Match');
  if (tags === '*') return { kind: 'ifPresent' };
  if (tags.length > IF_MATCH_TAGS_MAX)
    throw new DiptychError('INVALID_REQUEST', `If-Match lists ${tags.length} entity tags; at most ${IF_MATCH_TAGS_MAX} are allowed`);
  const anyOf = tags.flatMap((tag) => (tag.weak ? [] : (parsePosition(tag.opaque) ?? [])));
  return anyOf.length === 0 ? 'never' : { kind: 'ifRevision', anyOf };
}
