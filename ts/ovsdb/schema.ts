/**
 * Column types and their codecs: JSON of the wire (RFC 7047 section 5.1) to values, and
 * the differences of `modify` in update2/update3 (ovsdb-server(7) section 4.1.14).
 *
 * The reader says which shape it wants of a column; the server's schema says what the
 * column is. The codec joins both, so a column that became optional, or a set, in
 * another release still reads as what the reader expects, or is refused as a whole.
 */
import { isObject, type Json } from './rpc.js';

type Atom = string | number | boolean;
export type AtomType = 'string' | 'integer' | 'real' | 'boolean' | 'uuid';
type ReadAtom = Exclude<AtomType, 'real'>;
/**
 * `T`: one value; `T?`: undefined when empty; `T*`: an ascending array; `map`: of strings.
 * For columns that very many rows have: `string=`, of which equal ones are kept once, and
 * `map:KEY,KEY`, of which nothing but these keys is read and equal ones are kept once.
 */
export type Shape = ReadAtom | `${ReadAtom}?` | `${ReadAtom}*` | 'string=' | 'map'
  | `map:${string}`;
export type Value = Atom | undefined | readonly Atom[] | ReadonlyMap<string, string>;
export type Row = { readonly _uuid: string; readonly [column: string]: Value };

export interface ColumnType {
  readonly key: AtomType; readonly value: AtomType | undefined;
  readonly min: number; readonly max: number;
}
export type Schema = ReadonlyMap<string, ReadonlyMap<string, ColumnType>>;

/** What a codec answers when the JSON is not of the column's type. */
export const bad: unique symbol = Symbol('bad');
export interface Codec {
  /** Value of a column that the row omits or that the schema lacks. */
  readonly empty: Value;
  decode(json: Json): Value | typeof bad;
  /** Applies a difference; `bad` also when it does not fit the old value. */
  patch(old: Value, difference: Json): Value | typeof bad;
  /** A difference is the new value itself: patch() does not look at the old one. */
  readonly replaces: boolean;
}

const atomTypes: readonly string[] = ['string', 'integer', 'real', 'boolean', 'uuid'];

/** Reads the reply of get_schema. Tables and columns that make no sense are left out. */
export function parseSchema(json: Json): Schema {
  const tables = new Map<string, Map<string, ColumnType>>();
  const declared = isObject(json) && isObject(json['tables']) ? json['tables'] : {};
  for (const [name, table] of Object.entries(declared)) {
    const columns = new Map<string, ColumnType>();
    const listed = isObject(table) && isObject(table['columns']) ? table['columns'] : {};
    for (const [column, definition] of Object.entries(listed)) {
      const type = isObject(definition) ? parseType(definition['type']) : undefined;
      if (type !== undefined) columns.set(column, type);
    }
    tables.set(name, columns);
  }
  return tables;
}

function parseType(json: Json): ColumnType | undefined {
  if (!isObject(json)) {
    const key = parseBase(json);
    return key && { key, value: undefined, min: 1, max: 1 };
  }
  const key = parseBase(json['key']);
  const value = json['value'] === undefined ? undefined : parseBase(json['value']);
  if (key === undefined || (json['value'] !== undefined && value === undefined)) return undefined;
  const { min = 1, max = 1 } = json;
  if (typeof min !== 'number') return undefined;
  if (max !== 'unlimited' && typeof max !== 'number') return undefined;
  return { key, value, min, max: max === 'unlimited' ? Infinity : max };
}

function parseBase(json: Json): AtomType | undefined {
  const name = isObject(json) ? json['type'] : json;
  return atomTypes.includes(name as string) ? name as AtomType : undefined;
}

const isUuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const readers: Readonly<Record<ReadAtom, (json: Json) => Atom | typeof bad>> = {
  string: (json) => typeof json === 'string' ? json : bad,
  integer: (json) => Number.isSafeInteger(json) ? json as number : bad,
  boolean: (json) => typeof json === 'boolean' ? json : bad,
  uuid: (json) => Array.isArray(json) && json.length === 2 && json[0] === 'uuid'
    && typeof json[1] === 'string' && isUuid.test(json[1]) ? json[1] : bad,
};
const defaults: Readonly<Record<ReadAtom, Atom>> = {
  string: '', integer: 0, boolean: false, uuid: '00000000-0000-0000-0000-000000000000',
};
const emptyArray: readonly Atom[] = Object.freeze([]);
const emptyMap: ReadonlyMap<string, string> = new Map();

/** The codec, or why there can be none. `type` undefined: the schema lacks the column. */
export function codecOf(shape: Shape, type: ColumnType | undefined): Codec | string {
  // ovsdb_type_is_composite of OVS: only then is a difference not the new value itself.
  const composite = (type?.max ?? Infinity) > 1;
  if (shape.startsWith('map')) {
    if (type !== undefined && (type.key !== 'string' || type.value !== 'string')) {
      return 'is no map of strings';
    }
    if (shape !== 'map') return partCodec(shape.slice('map:'.length).split(','), composite);
    return { empty: emptyMap, decode: decodeMap, replaces: !composite,
      patch: composite ? patchMap : replace(decodeMap) };
  }
  const suffix = shape.at(-1);
  const atom = shape.replace(/[?*=]$/, '') as ReadAtom;
  if (type !== undefined && (type.key !== atom || type.value !== undefined)) {
    return `is of type ${type.key}${type.value === undefined ? '' : ' map'}, not ${atom}`;
  }
  if (suffix === '*') return setCodec(atom, composite);
  if (type !== undefined && composite) return `is a set, not one ${atom}`;
  if (suffix === '=') return onceCodec(singleCodec('string', type, ''));
  return singleCodec(atom, type, suffix === '?' ? undefined : defaults[atom]);
}

function replace(decode: Codec['decode']): Codec['patch'] {
  return (_old, difference) => decode(difference);
}

/** The members of a wire value: `["set", [..]]` or one atom (RFC 7047 section 5.1). */
function atomsOf(json: Json, atom: ReadAtom): readonly Atom[] | typeof bad {
  const read = readers[atom];
  const members = Array.isArray(json) && json.length === 2 && json[0] === 'set'
    ? json[1] as Json : [json];
  if (!Array.isArray(members)) return bad;
  if (members.length === 0) return emptyArray;
  const values: Atom[] = [];
  let ascending = true;
  for (const member of members) {
    const value = read(member);
    if (value === bad) return bad;
    if (values.length > 0 && values[values.length - 1]! >= value) ascending = false;
    values.push(value);
  }
  // One order for equal sets, whoever sorted: equality is then element by element.
  return ascending ? values : [...new Set(values)].sort(compare);
}

function compare(a: Atom, b: Atom): number { return a < b ? -1 : a > b ? 1 : 0; }

function symmetricDifference(a: readonly Atom[], b: readonly Atom[]): readonly Atom[] {
  const result = new Set(a);
  for (const member of b) if (!result.delete(member)) result.add(member);
  return result.size === 0 ? emptyArray : [...result].sort(compare);
}

function setCodec(atom: ReadAtom, composite: boolean): Codec {
  const decode = (json: Json): Value | typeof bad => atomsOf(json, atom);
  const patch: Codec['patch'] = (old, difference) => {
    const atoms = atomsOf(difference, atom);
    return atoms === bad ? bad : symmetricDifference(old as readonly Atom[], atoms);
  };
  return { empty: emptyArray, decode, patch: composite ? patch : replace(decode),
    replaces: !composite };
}

function singleCodec(
  atom: ReadAtom, type: ColumnType | undefined, empty: Atom | undefined,
): Codec {
  const scalar = type?.min === 1;
  const decode: Codec['decode'] = scalar ? readers[atom] : (json) => {
    const atoms = atomsOf(json, atom);
    if (atoms === bad || atoms.length > 1) return bad;
    return atoms.length === 0 ? empty : atoms[0];
  };
  return { empty: scalar ? defaults[atom] : empty, decode, patch: replace(decode), replaces: true };
}

/** Values by a text; forgotten when there are very many, so that what is gone is let go. */
class Pool<V> {
  readonly #known = new Map<string, V>();
  once(text: string, value: () => V): V {
    let found = this.#known.get(text);
    if (found === undefined) {
      if (this.#known.size >= POOL) this.#known.clear();
      this.#known.set(text, found = value());
    }
    return found;
  }
}
const POOL = 100_000;

function onceCodec({ empty, decode }: Codec): Codec {
  const pool = new Pool<string>();
  const once: Codec['decode'] = (json) => {
    const value = decode(json);
    return typeof value === 'string' ? pool.once(value, () => value) : value;
  };
  return { empty, decode: once, patch: replace(once), replaces: true };
}

/** Reads a map as far as `keys` go. */
function partCodec(keys: readonly string[], composite: boolean): Codec {
  const pool = new Pool<ReadonlyMap<string, string>>();
  const part = (pairs: ReadonlyMap<string, string>): ReadonlyMap<string, string> => {
    const kept = keys.flatMap((key) => {
      const value = pairs.get(key);
      return value === undefined ? [] : [[key, value] as const];
    });
    return kept.length === 0 ? emptyMap : pool.once(kept.join('\0'), () => new Map(kept));
  };
  const decode: Codec['decode'] = (json) => {
    const pairs = decodeMap(json);
    return pairs === bad ? bad : pairs.size === 0 ? emptyMap : part(pairs);
  };
  const patch: Codec['patch'] = (old, difference) => {
    const pairs = decodeMap(difference);
    return pairs === bad ? bad : part(patched(old as ReadonlyMap<string, string>, part(pairs)));
  };
  return { empty: emptyMap, decode, patch: composite ? patch : replace(decode),
    replaces: !composite };
}

function decodeMap(json: Json): ReadonlyMap<string, string> | typeof bad {
  if (!Array.isArray(json) || json[0] !== 'map' || !Array.isArray(json[1])) return bad;
  const pairs = json[1] as Json[];
  if (pairs.length === 0) return emptyMap;
  const map = new Map<string, string>();
  for (const pair of pairs) {
    if (!Array.isArray(pair)) return bad;
    const [key, value] = pair as Json[];
    if (typeof key !== 'string' || typeof value !== 'string') return bad;
    map.set(key, value);
  }
  return map;
}

function patchMap(old: Value, difference: Json): Value | typeof bad {
  const changes = decodeMap(difference);
  return changes === bad ? bad : patched(old as ReadonlyMap<string, string>, changes);
}

function patched(old: ReadonlyMap<string, string>, changes: ReadonlyMap<string, string>):
  ReadonlyMap<string, string> {
  const map = new Map(old);
  for (const [key, value] of changes) {
    // A pair that both have is gone; one with another value is the new one.
    if (map.get(key) === value) map.delete(key);
    else map.set(key, value);
  }
  return map.size === 0 ? emptyMap : map;
}

export function equalValues(a: Value, b: Value): boolean {
  if (a === b) return true;
  if (a instanceof Map && b instanceof Map) {
    if (a.size !== b.size) return false;
    for (const [key, value] of a as ReadonlyMap<string, string>) {
      if (b.get(key) !== value) return false;
    }
    return true;
  }
  return Array.isArray(a) && Array.isArray(b) && a.length === b.length
    && a.every((member, i) => member === b[i]);
}
