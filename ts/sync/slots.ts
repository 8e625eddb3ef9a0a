/**
 * Indexes of one array of the dataplane, given to contents: equal contents share an index and
 * are counted. An index is reused only after its last reference is released, which apply.ts
 * does after the grace period.
 */
export interface Slot {
  readonly index: number; readonly fresh: boolean;
  /** The content's entry until its last reference is released, and never again after that. `id`:
   * the one string to keep, of the many that say the same. */
  readonly entry: SlotEntry;
}
export interface SlotEntry { readonly slots: Slots; readonly id: string; readonly index: number }

export class Slots {
  readonly #entries = new Map<string, SlotEntry & { refs: number }>();
  readonly #used = new Set<number>();
  readonly #free: number[] = [];
  #next: number;

  constructor(readonly capacity: number, first = 0) { this.#next = first; }

  get size(): number { return this.#used.size; }
  indexOf(id: string): number | undefined { return this.#entries.get(id)?.index; }

  /** Whether its content has been referred to ever since. */
  holds(entry: SlotEntry): boolean { return this.#entries.get(entry.id) === entry; }

  /** One more reference to `id`; `fresh` when its content is not in the kernel yet.
   * Undefined when the array is full. */
  acquire(id: string): Slot | undefined {
    const known = this.#entries.get(id);
    if (known) {
      known.refs += 1;
      return { index: known.index, fresh: false, entry: known };
    }
    const index = this.#take();
    if (index === undefined) return undefined;
    const entry = { slots: this, id, index, refs: 1 };
    this.#entries.set(id, entry);
    this.#used.add(index);
    return { index, fresh: true, entry };
  }

  /** Takes over an index found in the kernel, with one reference. A content found twice keeps its
   * first index; the second is only kept busy, under another name. */
  adopt(id: string, index: number): SlotEntry {
    const name = this.#entries.has(id) ? `${id}\0${index}` : id;
    const entry = { slots: this, id: name, index, refs: 1 };
    this.#entries.set(name, entry);
    this.#used.add(index);
    return entry;
  }

  /** The index that this frees, if it was the last reference. */
  release(id: string): number | undefined {
    const entry = this.#entries.get(id);
    if (!entry) throw new Error(`slots: release of an id that holds no index: ${id}`);
    entry.refs -= 1;
    if (entry.refs > 0) return undefined;
    this.#entries.delete(id);
    this.#used.delete(entry.index);
    this.#free.push(entry.index);
    return entry.index;
  }

  #take(): number | undefined {
    for (let index = this.#free.pop(); index !== undefined; index = this.#free.pop()) {
      if (!this.#used.has(index)) return index;
    }
    while (this.#next < this.capacity && this.#used.has(this.#next)) this.#next += 1;
    if (this.#next >= this.capacity) return undefined;
    this.#next += 1;
    return this.#next - 1;
  }
}
