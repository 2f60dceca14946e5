/**
 * Compares two well-formed strings as their UTF-8 bytes compare, which is by code point. JavaScript's `<` compares UTF-16 units and
 * puts U+1F600 (D83D DE00) before U+FF5E; by code point it comes after.
 */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Equal to `compareUtf8` as long as at most one of the two has a unit of D800 or more; several times faster. */
export function compareUnits(a: string, b: string): number {
  return a < b ? -1 : a === b ? 0 : 1;
}

export function needsCodePointOrder(key: string): boolean {
  return HIGH_UNIT.test(key);
}

/** Surrogates stand for code points above all others, so they rank above E000 to FFFF. */
function rank(unit: number): number {
  return unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

const HIGH_UNIT = /[\ud800-\uffff]/;
