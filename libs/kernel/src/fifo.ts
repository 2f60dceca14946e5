/** A place in the line; whoever holds it can leave early. */
export interface Place<T> {
  readonly value: T;
  previous: Place<T> | undefined;
  next: Place<T> | undefined;
  linked: boolean;
}

/** A doubly linked queue: O(1) at both ends, and for whoever leaves the line early. Bounded by whoever fills it. */
export class Fifo<T> {
  #first: Place<T> | undefined;
  #last: Place<T> | undefined;
  size = 0;

  push(value: T): Place<T> {
    const place: Place<T> = { value, previous: this.#last, next: undefined, linked: true };
    if (this.#last) this.#last.next = place;
    else this.#first = place;
    this.#last = place;
    this.size++;
    return place;
  }

  shift(): T | undefined {
    const place = this.#first;
    if (!place) return undefined;
    this.remove(place);
    return place.value;
  }

  /** Safe to repeat. */
  remove(place: Place<T>): void {
    if (!place.linked) return;
    if (place.previous) place.previous.next = place.next;
    else this.#first = place.next;
    if (place.next) place.next.previous = place.previous;
    else this.#last = place.previous;
    // Whoever keeps a place it has left must not keep the whole line alive through it.
    place.previous = place.next = undefined;
    place.linked = false;
    this.size--;
  }
}
