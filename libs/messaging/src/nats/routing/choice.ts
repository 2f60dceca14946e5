/** Which of several members a call goes to. */

/**
 * The less loaded of two that are picked at random (Mitzenmacher, "The power of two choices in randomized load balancing", 2001): nearly as even
 * as to ask all of them, and callers that know the same do not all run to the same member. `outstanding` is the caller's own count. It
 * is never stale, as what a member reports of itself is, and it grows by itself for one that stops answering.
 */
export function lessLoaded<T extends { readonly outstanding: number }>(members: readonly T[], random: () => number): T | undefined {
  const { length } = members;
  if (length <= 1) return members[0];
  const i = Math.floor(random() * length);
  let j = Math.floor(random() * (length - 1));
  if (j >= i) j++;
  const one = members[i]!;
  const other = members[j]!;
  return other.outstanding < one.outstanding ? other : one;
}

/**
 * The owner of a key: the member with the highest hash of key and member (rendezvous hashing, Thaler and Ravishankar, 1998). Whoever knows
 * the same members finds the same owner without talking; when one comes or goes, only the keys move that it gets or had.
 */
export function ownerOf<T extends { readonly instance: string; readonly hash: number }>(members: readonly T[], key: string): T | undefined {
  const keyHash = hashOf(key);
  let owner: T | undefined;
  let highest = -1;
  for (const member of members) {
    const score = mixed(keyHash ^ member.hash);
    if (score > highest || (score === highest && member.instance > owner!.instance)) {
      highest = score;
      owner = member;
    }
  }
  return owner;
}

/** 32 bits of a text: FNV-1a over its UTF-16 code units, then mixed. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  return mixed(hash);
}

/** The finalizer of MurmurHash3: every bit of the input moves every bit of the output. */
function mixed(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
