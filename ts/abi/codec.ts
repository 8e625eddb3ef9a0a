/**
 * Structures of bpf/abi.h as JavaScript values. generated.ts lists their fields; this is what
 * reads and writes them. Numbers are in host byte order, which is little-endian on all machines
 * this is for; u8 arrays (MAC and IP addresses) are bytes as they are.
 */

type Scalar = 'u8' | 's8' | 'u16' | 'u32' | 's32' | 'u64';

/** One field: where it is, what it is, and for arrays how many. */
export interface Field {
  readonly offset: number;
  readonly type: Scalar | Codec<unknown>;
  readonly length?: number;
}

/** Reads and writes one structure. `fields` leaves out padding, which is written as zero. */
export interface Codec<T> {
  readonly name: string;
  readonly size: number;
  readonly fields: Readonly<Record<string, Field>>;
  /** Writes all `size` bytes. Arrays may be shorter than the field: the rest is zero. RangeError
   * for a number that does not fit, an array that is too long, or a missing field. */
  encode(view: DataView, offset: number, value: T): void;
  decode(view: DataView, offset: number): T;
  /** The same with bytes of its own. */
  toBytes(value: T): Uint8Array;
  /** RangeError when there are not exactly `size` bytes. */
  fromBytes(bytes: Uint8Array): T;
}

interface Access {
  readonly size: number;
  readonly low: number;
  readonly high: number;
  readonly get: (view: DataView, at: number) => number | bigint;
  readonly set: (view: DataView, at: number, value: number) => void;
}

const access: Readonly<Record<Exclude<Scalar, 'u64'>, Access>> = {
  u8: { size: 1, low: 0, high: 0xff, get: (v, at) => v.getUint8(at),
    set: (v, at, value) => v.setUint8(at, value) },
  s8: { size: 1, low: -0x80, high: 0x7f, get: (v, at) => v.getInt8(at),
    set: (v, at, value) => v.setInt8(at, value) },
  u16: { size: 2, low: 0, high: 0xffff, get: (v, at) => v.getUint16(at, true),
    set: (v, at, value) => v.setUint16(at, value, true) },
  u32: { size: 4, low: 0, high: 0xffff_ffff, get: (v, at) => v.getUint32(at, true),
    set: (v, at, value) => v.setUint32(at, value, true) },
  s32: { size: 4, low: -0x8000_0000, high: 0x7fff_ffff, get: (v, at) => v.getInt32(at, true),
    set: (v, at, value) => v.setInt32(at, value, true) },
};

const sizeOf = (type: Field['type']): number =>
  type === 'u64' ? 8 : typeof type === 'string' ? access[type].size : type.size;

function decodeOne(type: Field['type'], view: DataView, at: number): unknown {
  if (type === 'u64') return view.getBigUint64(at, true);
  return typeof type === 'string' ? access[type].get(view, at) : type.decode(view, at);
}

const item = (name: string, index: number | undefined): string =>
  index === undefined ? name : `${name}[${index}]`;
/** `index`: of an array's item. Texts are made of what is wrong only. */
function encodeOne(type: Field['type'], view: DataView, at: number, value: unknown,
  name: string, index?: number): void {
  if (typeof type !== 'string') return type.encode(view, at, value);
  if (type === 'u64') {
    if (typeof value !== 'bigint' || BigInt.asUintN(64, value) !== value) {
      throw new RangeError(`${item(name, index)} must be a 64-bit bigint, not ${String(value)}`);
    }
    return view.setBigUint64(at, value, true);
  }
  const { low, high, set } = access[type];
  if (typeof value !== 'number' || !Number.isInteger(value) || value < low || value > high) {
    throw new RangeError(`${item(name, index)} must be ${type}, not ${String(value)}`);
  }
  set(view, at, value);
}

function decodeField(field: Field, view: DataView, base: number): unknown {
  const { type, length } = field;
  const at = base + field.offset;
  if (length === undefined) return decodeOne(type, view, at);
  if (type === 'u8') return new Uint8Array(view.buffer, view.byteOffset + at, length).slice();
  const step = sizeOf(type);
  return Array.from({ length }, (_, i) => decodeOne(type, view, at + i * step));
}

function encodeField(field: Field, view: DataView, base: number, value: unknown,
  where: string): void {
  const { type, length } = field;
  const at = base + field.offset;
  if (length === undefined) return encodeOne(type, view, at, value, where);
  const items = value as ArrayLike<unknown> | undefined;
  if (items === undefined || items.length > length) {
    throw new RangeError(`${where} must have at most ${length} items, not ${items?.length}`);
  }
  const step = sizeOf(type);
  for (let i = 0; i < items.length; i += 1) {
    encodeOne(type, view, at + i * step, items[i], where, i);
  }
}

/** For generated.ts. */
export function struct<T extends object>(
  name: string, size: number, fields: Readonly<Record<keyof T & string, Field>>): Codec<T> {
  const list = Object.entries<Field>(fields);
  const named = list.map(([key, field]) => [key as keyof T, field, `${name}.${key}`] as const);
  const codec: Codec<T> = {
    name, size, fields,
    encode(view, offset, value) {
      new Uint8Array(view.buffer, view.byteOffset + offset, size).fill(0);
      for (const [key, field, where] of named) {
        encodeField(field, view, offset, value[key], where);
      }
    },
    decode: (view, offset) => Object.fromEntries(list.map(([key, field]) =>
      [key, decodeField(field, view, offset)])) as T,
    toBytes(value) {
      const bytes = new Uint8Array(size);
      codec.encode(new DataView(bytes.buffer), 0, value);
      return bytes;
    },
    fromBytes(bytes) {
      if (bytes.length !== size) {
        throw new RangeError(`struct ${name} has ${size} bytes, not ${bytes.length}`);
      }
      return codec.decode(new DataView(bytes.buffer, bytes.byteOffset, size), 0);
    },
  };
  return codec;
}

/** A structure as an object file's BTF describes it. */
export interface Layout {
  readonly size: number;
  readonly members: readonly { readonly name: string; readonly offsetBits: number }[];
}

/**
 * Compares structures with an object file's idea of them; every difference is a sentence. A
 * structure that the object does not use is none. The loader refuses an object with any.
 */
export function layoutProblems(
  codecs: readonly Codec<unknown>[], find: (name: string) => Layout | undefined): string[] {
  return codecs.flatMap(({ name, size, fields }) => {
    const layout = find(name);
    if (layout === undefined) return [];
    const problems = layout.size === size ? []
      : [`struct ${name} has ${layout.size} bytes in the object, ${size} here`];
    const members = new Map(layout.members.map((each) => [each.name, each.offsetBits / 8]));
    for (const [field, { offset }] of Object.entries(fields)) {
      const found = members.get(field);
      if (found === offset) continue;
      problems.push(found === undefined ? `struct ${name} has no ${field} in the object`
        : `${name}.${field} is at ${found} in the object, at ${offset} here`);
    }
    return problems;
  });
}
