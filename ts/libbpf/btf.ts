/**
 * BTF, the kernel's type format (Documentation/bpf/btf.rst), read from its raw bytes. Pure.
 * Type ids are positions in the type section; id 0 is void.
 */

export interface BtfMember {
  readonly name: string;
  readonly offsetBits: number;
  readonly sizeBits: number;
  readonly type: BtfType;
}

/** A type with typedefs and const, volatile and restrict taken off. */
export type BtfType =
  | { readonly kind: 'void' }
  | { readonly kind: 'int'; readonly name: string; readonly size: number;
    readonly signed: boolean }
  | { readonly kind: 'float'; readonly name: string; readonly size: number }
  | { readonly kind: 'pointer'; readonly size: 8 }
  | { readonly kind: 'array'; readonly size: number; readonly length: number;
    readonly element: BtfType }
  | { readonly kind: 'struct' | 'union'; readonly name: string; readonly size: number;
    readonly members: readonly BtfMember[] }
  | { readonly kind: 'enum'; readonly name: string; readonly size: number;
    readonly values: ReadonlyMap<string, bigint> }
  | { readonly kind: 'other'; readonly name: string };

export interface BtfVariable {
  readonly name: string;
  /** Bytes within the section. */
  readonly offset: number;
  readonly size: number;
  readonly type: BtfType;
}

const kinds = ['void', 'int', 'pointer', 'array', 'struct', 'union', 'enum', 'fwd', 'typedef',
  'volatile', 'const', 'restrict', 'func', 'func_proto', 'var', 'datasec', 'float', 'decl_tag',
  'type_tag', 'enum64'] as const;
type Kind = typeof kinds[number];

/** Bytes after the 12 of a type's head: a fixed part and one for each of its `vlen`. */
const tails: Readonly<Record<Kind, readonly [fixed: number, each: number]>> = {
  void: [0, 0], int: [4, 0], pointer: [0, 0], array: [12, 0], struct: [0, 12], union: [0, 12],
  enum: [0, 8], fwd: [0, 0], typedef: [0, 0], volatile: [0, 0], const: [0, 0], restrict: [0, 0],
  func: [0, 0], func_proto: [0, 8], var: [4, 0], datasec: [0, 12], float: [0, 0],
  decl_tag: [4, 0], type_tag: [0, 0], enum64: [0, 12],
};
const transparent: readonly Kind[] = ['typedef', 'volatile', 'const', 'restrict', 'type_tag'];

interface Head {
  readonly kind: Kind;
  readonly name: string;
  readonly vlen: number;
  /** For struct and union: members carry bit-field sizes. For enum: values are signed. */
  readonly flag: boolean;
  readonly sizeOrType: number;
  /** Offset of what follows the head. */
  readonly tail: number;
}

const magic = 0xeb9f;
const void_: BtfType = { kind: 'void' };

export class Btf {
  readonly #view: DataView;
  readonly #heads: Head[] = [
    { kind: 'void', name: '', vlen: 0, flag: false, sizeOrType: 0, tail: 0 }];
  readonly #strings: number;
  readonly #resolved = new Map<number, BtfType>();

  /** Throws for bytes that are not BTF of this machine's byte order (little-endian). */
  constructor(raw: Uint8Array) {
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    if (raw.length < 24 || view.getUint16(0, true) !== magic) throw new TypeError('not BTF');
    this.#view = view;
    const u32 = (at: number): number => view.getUint32(at, true);
    const start = u32(4) + u32(8);
    this.#strings = u32(4) + u32(16);
    for (let at = start; at < start + u32(12);) {
      const info = u32(at + 4);
      const kind = kinds[(info >>> 24) & 0x1f];
      if (kind === undefined) throw new TypeError(`BTF kind ${(info >>> 24) & 0x1f} is unknown`);
      const vlen = info & 0xffff;
      this.#heads.push({
        kind, vlen, name: this.#string(u32(at)), flag: info >>> 31 === 1,
        sizeOrType: u32(at + 8), tail: at + 12,
      });
      const [fixed, each] = tails[kind];
      at += 12 + fixed + each * vlen;
    }
  }

  /** The struct, union or enum of that name. */
  type(name: string): BtfType | undefined {
    const id = this.#heads.findIndex((head) =>
      head.name === name && ['struct', 'union', 'enum', 'enum64'].includes(head.kind));
    return id < 0 ? undefined : this.typeById(id);
  }

  /** Every named type of the kinds given. */
  *types(...wanted: ('struct' | 'union' | 'enum')[]): IterableIterator<BtfType> {
    for (const [id, head] of this.#heads.entries()) {
      const type = head.name === '' ? void_ : this.typeById(id);
      if (head.kind === 'typedef' || transparent.includes(head.kind)) continue;
      if ((wanted as string[]).includes(type.kind)) yield type;
    }
  }

  /** Global variables of a data section (".rodata", ".data", ".bss"). */
  variables(section: string): BtfVariable[] {
    const head = this.#heads.find((each) => each.kind === 'datasec' && each.name === section);
    if (head === undefined) return [];
    return Array.from({ length: head.vlen }, (_, i) => {
      const at = head.tail + 12 * i;
      const variable = this.#head(this.#u32(at));
      return {
        name: variable.name, offset: this.#u32(at + 4), size: this.#u32(at + 8),
        type: this.typeById(variable.sizeOrType),
      };
    });
  }

  /** Names of the data sections. */
  sections(): string[] {
    return this.#heads.filter((head) => head.kind === 'datasec').map((head) => head.name);
  }

  typeById(id: number): BtfType {
    let at = id;
    while (transparent.includes(this.#head(at).kind)) at = this.#head(at).sizeOrType;
    const known = this.#resolved.get(at);
    if (known !== undefined) return known;
    const head = this.#head(at);
    const type = head.kind === 'struct' || head.kind === 'union'
      ? this.#composite(at, head.kind, head) : this.#plain(head);
    this.#resolved.set(at, type);
    return type;
  }

  #plain(head: Head): BtfType {
    const { kind, name, sizeOrType: size, tail } = head;
    if (kind === 'void') return void_;
    if (kind === 'int') return { kind, name, size, signed: (this.#u32(tail) >>> 24 & 1) === 1 };
    if (kind === 'float') return { kind, name, size };
    if (kind === 'pointer') return { kind, size: 8 };
    if (kind === 'enum' || kind === 'enum64') {
      return { kind: 'enum', name, size, values: this.#enumValues(head) };
    }
    if (kind === 'array') {
      const element = this.typeById(this.#u32(tail));
      const length = this.#u32(tail + 8);
      return { kind, element, length, size: length * ('size' in element ? element.size : 0) };
    }
    return { kind: 'other', name };
  }

  #composite(id: number, kind: 'struct' | 'union', head: Head): BtfType {
    const members: BtfMember[] = [];
    const type = { kind, name: head.name, size: head.sizeOrType, members } as const;
    this.#resolved.set(id, type);  // before its members: they may point back to it
    for (let i = 0; i < head.vlen; i += 1) {
      const at = head.tail + 12 * i;
      const offset = this.#u32(at + 8);
      const of = this.typeById(this.#u32(at + 4));
      const bitField = head.flag ? offset >>> 24 : 0;
      members.push({
        name: this.#string(this.#u32(at)), type: of,
        offsetBits: head.flag ? offset & 0xffffff : offset,
        sizeBits: bitField || ('size' in of ? of.size * 8 : 0),
      });
    }
    return type;
  }

  #enumValues(head: Head): Map<string, bigint> {
    const wide = head.kind === 'enum64';
    const values = new Map<string, bigint>();
    for (let i = 0; i < head.vlen; i += 1) {
      const at = head.tail + (wide ? 12 : 8) * i;
      const bits = BigInt(this.#u32(at + 4))
        | (wide ? BigInt(this.#u32(at + 8)) << 32n : 0n);
      const value = head.flag ? BigInt.asIntN(wide ? 64 : 32, bits) : bits;
      values.set(this.#string(this.#u32(at)), value);
    }
    return values;
  }

  #head(id: number): Head {
    const head = this.#heads[id];
    if (head === undefined) throw new TypeError(`BTF type ${id} does not exist`);
    return head;
  }

  #u32(at: number): number { return this.#view.getUint32(at, true); }

  #string(offset: number): string {
    let end = this.#strings + offset;
    while (this.#view.getUint8(end) !== 0) end += 1;
    const { buffer, byteOffset } = this.#view;
    const start = this.#strings + offset;
    return Buffer.from(buffer, byteOffset + start, end - start).toString('utf8');
  }
}
