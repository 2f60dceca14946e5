/** The entity tag of the value that was seen or put last under each key: one a key, so that there are never more than keys. */
export class EntityTags {
  readonly #byKey = new Map<string, { readonly value: number; readonly tag: string }>();

  get size(): number {
    return this.#byKey.size;
  }

  note(key: string, value: number, tag: string): void {
    this.#byKey.set(key, { value, tag });
  }

  /** The value whose tag is known. */
  valueUnder(key: string): number | undefined {
    return this.#byKey.get(key)?.value;
  }

  /** @throws Error when another value's has taken its place */
  tagOf(key: string, value: number): string {
    const known = this.#byKey.get(key);
    if (known?.value !== value) throw new Error(`the entity tag of ${value} under ${key} is not known any more`);
    return known.tag;
  }
}
