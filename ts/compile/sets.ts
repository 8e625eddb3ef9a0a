/**
 * Large address sets. A comparison with one stays whole: it becomes one bit that says whether the
 * set has the address, and the dataplane asks for it once before it looks for a rule (bpf/abi.h,
 * "Address sets"). What a set has does not stand in any stage: a member more is one entry.
 *
 * Bits have no word before it is known which sets a stage asks for. Until then each comparison
 * has a word of its own beyond the flow vector, so that terms are joined as always.
 */
import { flowWord as fw, SET_LOOKUPS } from '../abi/generated.js';
import type { Constant } from '../lflow/ast.js';
import { addressSetConstants } from '../lflow/operand.js';
import { ones as allOnes } from '../lflow/literal.js';
import type { AddressSet, Uuid } from '../southbound/rows.js';
import type { View } from '../southbound/view.js';
import type { Place } from './fields.js';
import type { Dependency } from './flow.js';
import { SMALL_SET } from './limits.js';
import type { Term } from './match.js';
import type { SetContent, SetLookup, UsedSet } from './model.js';
import type { Use } from './uses.js';

// ---- What a set has --------------------------------------------------------------------------

export type Bits = SetContent['bits'];
const bitsOf: ReadonlyMap<string, Bits> = new Map([['ipv4', 32], ['ethernet', 48], ['ipv6', 128]]);

/** Members of one row, which becomes that of the next row of the same set. */
class Content implements SetContent {
  readonly members = new Map<string, number>();
  /** How many are of each kind, '' for those that no lookup can find. */
  private readonly kinds = new Map<string, number>();
  prefixes = false;
  private networks = 0;
  version: object = {};
  since: SetContent['since'];

  constructor(addresses: readonly string[]) {
    for (const constant of addressSetConstants(addresses)) this.count(constant, 1);
    this.prefixes = this.networks > 0;
  }

  get bits(): Bits { return bitsOf.get([...this.kinds.keys()][0] ?? '') ?? 32; }
  /** Whether comparisons with it stay whole. */
  get isWhole(): boolean {
    return this.members.size > SMALL_SET && this.kinds.size === 1 && !this.kinds.has('');
  }
  /** What a stage that asks for it depends on. */
  get kind(): string { return this.isWhole ? `${this.bits}${this.prefixes}` : ''; }

  snapshot(): SetContent {
    const { bits, members, version, since } = this;
    return { bits, members, version, since };
  }

  follow(removed: readonly string[], added: readonly string[]): void {
    const changed = new Set<string>();
    const count = (constants: readonly Constant[], by: 1 | -1): void => {
      for (const constant of constants) changed.add(this.count(constant, by));
    };
    count(addressSetConstants(added), 1);
    count(addressSetConstants(removed), -1);
    this.prefixes = this.networks > 0;
    const from = this.version;
    this.version = {};
    this.since = { from, changed };
  }

  /** Returns the member's key. */
  private count(constant: Constant, by: 1 | -1): string {
    const { kind, key, network } = memberOf(constant);
    const n = (this.members.get(key) ?? 0) + by, all = (this.kinds.get(kind) ?? 0) + by;
    if (n > 0) this.members.set(key, n); else this.members.delete(key);
    if (all > 0) this.kinds.set(kind, all); else this.kinds.delete(kind);
    if (network) this.networks += by;
    return key;
  }
}

/** A member's key: its value and its length in bits. */
function memberOf(constant: Constant): { kind: string; key: string; network: boolean } {
  if (constant.kind !== 'int') return { kind: '', key: constant.value, network: false };
  const { value, mask, format } = constant;
  const bits = bitsOf.get(format);
  const odd = { kind: '', key: `${value}/${mask}`, network: false };
  if (bits === undefined) return odd;
  const host = allOnes(bits) ^ (mask ?? allOnes(bits));
  // A prefix's zeros are the last bits.
  if ((host & (host + 1n)) !== 0n) return odd;
  const length = host === 0n ? bits : bits - host.toString(2).length;
  return { kind: format, key: `${value.toString(16)}/${length}`, network: length < bits };
}

const contents = new WeakMap<AddressSet, Content>();

export function contentOf(row: AddressSet): Content {
  let content = contents.get(row);
  if (!content) contents.set(row, content = new Content(row.addresses));
  return content;
}

/** What comparisons with the set depend on, as text; '': they are not whole. Sets with few texts
 * are not looked at. */
export const kindOf = (row: AddressSet | undefined): string =>
  (row && row.addresses.length > SMALL_SET ? contentOf(row).kind : '');

/** Members of the row before and not of the next one, and the other way round. Mostly the lists
 * differ in one place. */
function difference(a: readonly string[], b: readonly string[]): [string[], string[]] {
  let first = 0, last = 0;
  const least = Math.min(a.length, b.length);
  while (first < least && a[first] === b[first]) first += 1;
  while (last < least - first && a.at(-1 - last) === b.at(-1 - last)) last += 1;
  const x = a.slice(first, a.length - last), y = b.slice(first, b.length - last);
  return [x, y];
}

/** The set's row is another one: what is known of the old one becomes that of the new. Whether
 * flows that name the set are to be compiled again. */
export function followSet(old: AddressSet, row: AddressSet): boolean {
  const before = contents.get(old);
  if (!before) return true;
  const kind = kindOf(old);
  if (!contents.has(row)) {
    contents.delete(old);
    before.follow(...difference(old.addresses, row.addresses));
    contents.set(row, before);
  }
  return kind === '' || kindOf(row) !== kind;
}

const constants = new WeakMap<AddressSet, readonly Constant[]>();
/** Members as the language has them, for comparisons that do not stay whole. */
export function constantsOf(row: AddressSet): readonly Constant[] {
  let list = constants.get(row);
  if (!list) constants.set(row, list = addressSetConstants(row.addresses));
  return list;
}

// ---- What stages ask -------------------------------------------------------------------------

/** Words of comparisons with sets begin here, and end nowhere. */
const FIRST = 0x200;
const numbers = new Map<string, number>();
const lookups: SetLookup[] = [];

/** The word, of one bit, that says whether the set has what is at `place`; undefined: nothing
 * there can be asked for. */
export function setWord({ word, shift, width }: Place, set: string, prefixes: boolean):
  number | undefined {
  if (shift !== 0 || ![32, 48, 128].includes(width)) return undefined;
  const lookup = { set, word, words: Math.ceil(width / 32), prefixes };
  const text = lookupText(lookup);
  let number = numbers.get(text);
  if (number === undefined) {
    numbers.set(text, number = lookups.length);
    lookups.push(lookup);
  }
  return FIRST + number;
}
export const lookupText = ({ set, word, words, prefixes }: SetLookup): string =>
  `${set} ${word}-${words}${prefixes ? ' prefixes' : ''}`;

const asks = ({ words }: Term): boolean => (words.at(-1) ?? 0) >= FIRST;

/** What the terms of a stage ask for, in the one order; the n-th is bit n from FW_SETS on. */
export function lookupsOf(terms: Iterable<Term>): readonly SetLookup[] {
  const found = new Map<string, SetLookup>();
  for (const term of terms) {
    if (!asks(term)) continue;
    for (const word of term.words) {
      const lookup = lookups[word - FIRST];
      if (lookup) found.set(lookupText(lookup), lookup);
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, lookup]) => lookup);
}

/** The term with bits where `asked` puts them; undefined: it asks for too many sets. */
export function withBits(term: Term, asked: ReadonlyMap<string, number>): Term | undefined {
  if (!asks(term)) return term;
  const words: number[] = [], masks: number[] = [], values: number[] = [];
  const bits = new Map<number, readonly [number, number]>();
  for (const [i, word] of term.words.entries()) {
    const lookup = lookups[word - FIRST];
    if (!lookup) {
      words.push(word);
      masks.push(term.masks[i]!);
      values.push(term.values[i]!);
      continue;
    }
    const bit = asked.get(lookupText(lookup))!;
    if (bit >= SET_LOOKUPS) return undefined;
    const at = fw.FW_SETS + (bit >>> 5), one = (1 << (bit & 31)) >>> 0;
    const [mask, value] = bits.get(at) ?? [0, 0];
    bits.set(at, [(mask | one) >>> 0, (term.values[i] === 0 ? value : value | one) >>> 0]);
  }
  for (const [word, [mask, value]] of [...bits].sort(([a], [b]) => a - b)) {
    words.push(word);
    masks.push(mask);
    values.push(value);
  }
  return { words, masks, values };
}

/** Of the lookups of a stage those whose bits are compared under these masks, each with its
 * bit. */
export function needed(all: readonly SetLookup[] | undefined,
  compared: Iterable<{ readonly words: readonly number[]; readonly masks: readonly number[] }>):
  readonly (readonly [number, SetLookup])[] {
  if (!all) return [];
  const masks = new Map<number, number>();
  for (const of of compared) {
    of.words.forEach((word, i) => {
      if (word >= fw.FW_SETS) masks.set(word, (masks.get(word) ?? 0) | of.masks[i]!);
    });
  }
  return all.flatMap((lookup, bit): readonly (readonly [number, SetLookup])[] =>
    (((masks.get(fw.FW_SETS + (bit >>> 5)) ?? 0) >>> (bit & 31) & 1) === 1
      ? [[bit, lookup]] : []));
}

// ---- Sets in use -----------------------------------------------------------------------------

/** Large sets that stages here ask for. */
export class UsedSets {
  /** Those that flows have named. */
  private readonly asked = new Set<string>();
  now: ReadonlyMap<string, UsedSet> = new Map();

  /** What is known of a set with which comparisons stay whole. */
  whole(view: View, name: string): { bits: Bits; prefixes: boolean } | undefined {
    const row = view.addressSet(name);
    if (!row || kindOf(row) === '') return undefined;
    this.asked.add(name);
    return contentOf(row);
  }

  /** `uses`: of each name; `keys`: of local datapaths. */
  follow(view: View, uses: ReadonlyMap<Dependency, Iterable<Use>>,
    keys: ReadonlyMap<Uuid, number>): void {
    const next = new Map<string, UsedSet>();
    for (const name of this.asked) {
      const row = view.addressSet(name), known = this.now.get(name);
      const datapaths = new Set([...uses.get(`set:${name}`) ?? []].flatMap(({ flow }) =>
        flow.datapaths.flatMap((uuid) => keys.get(uuid) ?? [])));
      if (!row || kindOf(row) === '' || datapaths.size === 0) {
        if (datapaths.size === 0) this.asked.delete(name);
        continue;
      }
      const content = contentOf(row);
      next.set(name, known?.content.version === content.version
        && known.datapaths.size === datapaths.size ? known
        : { content: content.snapshot(), datapaths });
    }
    this.now = next;
  }
}
