/**
 * Large address sets in the kernel (bpf/abi.h, "Address sets"). What stages ask is immutable and
 * shared by content; members change in place. A member says in which buffer it is one: a change
 * is written for the inactive buffer first, and for both after the flip. One that is all that
 * changes is one write.
 */
import { SET_LOOKUPS, setLookups, setMember } from '../abi/generated.js';
import type { SetLookup, UsedSet } from '../compile/model.js';
import type { Bytes, HashMap, MapPort } from './port.js';
import { Slots } from './slots.js';
import { add, Refused, type Held, type Writes } from './writes.js';
import { idOf, words } from './wire.js';

export const setMaps = ['set_hosts', 'set_prefixes'] as const satisfies readonly HashMap[];
export type SetMap = (typeof setMaps)[number];
const ADDRESS_BITS = 128, ID_BITS = 32;

/** A set in the kernel, or about to be there. */
interface Present {
  readonly id: number; readonly bits: UsedSet['content']['bits'];
  version: object;
  readonly members: Set<string>;
}
/** One member that comes or goes, with the buffers that it is in until the flip. */
export interface SetEdit {
  readonly map: SetMap; readonly key: Bytes;
  readonly until: (active: 0 | 1) => Bytes;
  /** After it; undefined: gone. */
  readonly after: Bytes | undefined;
}
export interface SetEdits {
  readonly rows: readonly SetEdit[];
  readonly datapaths: ReadonlySet<number>;
  /** Notes that they are made. */
  readonly done: () => void;
}

const member = (first: boolean, second: boolean): Bytes =>
  setMember.toBytes({ in: [Number(first), Number(second)] });
const inBoth = member(true, true);

interface Place { readonly map: SetMap; readonly key: Bytes }
/** Where a member's row is. */
function placeOf({ id, bits }: Pick<Present, 'id' | 'bits'>, text: string): Place {
  const [hex = '', length = ''] = text.split('/');
  const digits = hex.padStart(ADDRESS_BITS / 4, '0');
  const address = [0, 8, 16, 24].map((at) => parseInt(digits.slice(at, at + 8), 16));
  const len = Number(length);
  if (len === bits) return { map: 'set_hosts', key: words(id, ...address) };
  return { map: 'set_prefixes', key: Buffer.concat([
    words(ID_BITS + ADDRESS_BITS - bits + len, id), Buffer.from(digits, 'hex')]) };
}

/** Whether a shorter prefix of `members` has all of the member. */
function isCovered(members: { has(key: string): boolean }, bits: number, text: string): boolean {
  const [hex = '', length = ''] = text.split('/');
  let value = BigInt(`0x${hex}`);
  for (let len = Number(length) - 1; len >= 0; len--) {
    value &= ~(1n << BigInt(bits - 1 - len));
    if (members.has(`${value.toString(16)}/${len}`)) return true;
  }
  return false;
}

export class SetStore {
  readonly ids: Slots;
  readonly lists: Slots;
  /** What sets have in the state that is being put into force. */
  contents: ReadonlyMap<string, UsedSet> = new Map();
  /** Rows in the kernel or planned. */
  readonly rows: { readonly [M in SetMap]: number } & Record<SetMap, number> =
    { set_hosts: 0, set_prefixes: 0 };
  /** By the name that they are held under. */
  readonly #present = new Map<string, Present>();

  constructor(readonly port: MapPort) {
    this.ids = new Slots(0xffffffff, 1);
    this.lists = new Slots(Math.min(port.capacity('set_lookups'), 65536), 1);
  }

  /** Index of the list of what is asked; 0: nothing is. */
  list(lookups: readonly (readonly [number, SetLookup])[], out: Writes, held: Held): number {
    if (lookups.length === 0) return 0;
    const lookup = lookups.map(([bit, { set, word, words: n, prefixes }]) =>
      ({ set: this.#hold(set, out, held), word, words: n, bit, prefixes: Number(prefixes) }));
    const none = { set: 0, word: 0, words: 0, bit: 0, prefixes: 0 };
    const bytes = setLookups.toBytes({ n: lookup.length, lookup:
      Array.from({ length: SET_LOOKUPS }, (_, i) => lookup[i] ?? none) });
    const slot = this.lists.acquire(idOf(bytes));
    if (!slot) throw new Refused('set_lookups');
    held.push(slot.entry);
    if (slot.fresh) add(out, 'set_lookups', [[words(slot.index), bytes]]);
    return slot.index;
  }

  #hold(set: string, out: Writes, held: Held): number {
    const content = this.contents.get(set)?.content;
    if (!content) throw new Refused('set_hosts');
    const { bits, version } = content, name = `${set} ${bits}`;
    const { index: id, fresh, entry } = this.ids.acquire(name)!;
    held.push(entry);
    if (!fresh) return id;
    const present: Present = { id, bits, version, members: new Set(content.members.keys()) };
    this.#present.set(name, present);
    const places = [...present.members].map((text) => placeOf(present, text));
    for (const map of setMaps) {
      const rows = places.filter((place) => place.map === map);
      this.rows[map] += rows.length;
      if (this.rows[map] > this.port.capacity(map)) throw new Refused(map);
      if (rows.length > 0) add(out, map, rows.map(({ key }) => [key, inBoth] as const));
    }
    return id;
  }

  /** Nobody asks for the set any more: its rows, whose number is taken back. */
  drop(name: string): readonly Place[] {
    const present = this.#present.get(name);
    if (!present) return [];
    this.#present.delete(name);
    const places = [...present.members].map((text) => placeOf(present, text));
    for (const { map } of places) this.rows[map] -= 1;
    return places;
  }

  /** What makes the sets that are there already as `contents` has them. */
  edits(): SetEdits {
    const rows: SetEdit[] = [], datapaths = new Set<number>();
    const notes: (() => void)[] = [];
    for (const [set, { content, datapaths: users }] of this.contents) {
      const present = this.#present.get(`${set} ${content.bits}`);
      if (!present || present.version === content.version) continue;
      const own = changedOf(present, content);
      for (const text of own) rows.push(this.#edit(present, content, text));
      if (own.length > 0) for (const datapath of users) datapaths.add(datapath);
      notes.push(() => {
        present.version = content.version;
        for (const text of own) {
          const there = content.members.has(text);
          if (there) present.members.add(text); else present.members.delete(text);
          this.rows[placeOf(present, text).map] += there ? 1 : -1;
        }
      });
    }
    return { rows, datapaths, done: () => { for (const note of notes) note(); } };
  }

  #edit(present: Present, { members }: UsedSet['content'], text: string): SetEdit {
    const place = placeOf(present, text), there = members.has(text);
    const network = place.map === 'set_prefixes';
    const before = !there || (network && isCovered(present.members, present.bits, text));
    const then = there || (network && isCovered(members, present.bits, text));
    return { ...place, until: (active) => (active === 0 ? member(before, then)
      : member(then, before)), after: there ? inBoth : undefined };
  }
}

/** Members that are in one of both only. */
function changedOf({ version, members }: Present, content: UsedSet['content']): string[] {
  const { since } = content;
  const all = since?.from === version ? since.changed
    : new Set([...members, ...content.members.keys()]);
  return [...all].filter((text) => members.has(text) !== content.members.has(text));
}
