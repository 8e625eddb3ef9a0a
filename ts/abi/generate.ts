/**
 * Writes ts/abi/generated.ts from bpf/abi.h: types from the BTF of build/bpf/abi_btf.bpf.o,
 * macros and reason texts from the header's own text.
 *
 *     npm run generate [-- --check]     with --check nothing is written; exit status 1 = stale
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../base/package_root.js';
import type { Btf, BtfMember, BtfType } from '../libbpf/btf.js';
import { BpfObject } from '../libbpf/object.js';

type Struct = Extract<BtfType, { kind: 'struct' | 'union' }>;
type Enum = Extract<BtfType, { kind: 'enum' }>;

const camel = (name: string): string =>
  name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
const pascal = (name: string): string => camel(name).replace(/^./, (c) => c.toUpperCase());

/** Puts items on lines of at most 100 columns. */
function wrapped(open: string, items: readonly string[], close: string): string[] {
  const short = `${open} ${items.join(', ')} ${close}`;
  if (short.length <= 100) return [short];
  const lines: string[] = [];
  let line = ' ';
  for (const item of items) {
    if (line.length + item.length + 2 > 100) {
      lines.push(line);
      line = ' ';
    }
    line += ` ${item},`;
  }
  return [open, ...lines, line, close].filter((each) => each.trim() !== '');
}

/** Every `#define NAME number` or `#define NAME (A op B)`; function-like macros are not for us. */
export function readMacros(header: string): Map<string, number> {
  const macros = new Map<string, number>();
  const operand = (text: string): number | undefined =>
    /^(0x[0-9a-f]+|\d+)u?$/i.test(text) ? Number(text.replace(/u$/i, '')) : macros.get(text);
  const operators: Readonly<Record<string, (a: number, b: number) => number>> = {
    '+': (a, b) => a + b, '-': (a, b) => a - b, '*': (a, b) => a * b,
    '<<': (a, b) => a << b, '|': (a, b) => a | b,
  };
  const text = header.replace(/\/\*[\s\S]*?\*\//g, '');
  for (const [, name, rest] of text.matchAll(/^#define[ \t]+(\w+)[ \t]+(\S.*?)[ \t]*$/gm)) {
    const parts = /^\((\S+) (\S+) (\S+)\)$/.exec(rest!);
    const [a, b] = [operand(parts?.[1] ?? rest!), operand(parts?.[3] ?? '0')];
    const value = a === undefined || b === undefined ? undefined
      : operators[parts?.[2] ?? '+']?.(a, b);
    if (value === undefined) throw new Error(`abi.h: cannot tell the value of ${name}: ${rest}`);
    macros.set(name!, value);
  }
  return macros;
}

/** The X-macro lists: name -> [enumerator without prefix, text]. */
export function readReasons(header: string): Map<string, [string, string][]> {
  const lists = new Map<string, [string, string][]>();
  for (const [, name, body] of header.matchAll(/^#define (\w+)\(X\) \\\n((?:.*\\\n)*.*)$/gm)) {
    lists.set(name!, [...body!.matchAll(/X\((\w+), "([^"]*)"\)/g)]
      .map(([, key, text]) => [key!, text!]));
  }
  return lists;
}

function enumLines(type: Enum): string[] {
  const items = [...type.values].map(([name, value]) => `${name}: ${value}`);
  return ['', ...wrapped(`export const ${camel(type.name)} = Object.freeze({`, items, '});')];
}

const scalarNames: Readonly<Record<string, string>> = {
  '1false': 'u8', '1true': 's8', '2false': 'u16', '4false': 'u32', '4true': 's32', '8false': 'u64',
};

interface Described { readonly type: string; readonly codec: string; readonly length?: number }

function describe(type: BtfType, where: string): Described {
  if (type.kind === 'int') {
    const scalar = scalarNames[`${type.size}${type.signed}`];
    if (scalar === undefined) throw new Error(`${where}: no codec for ${type.name}`);
    return { type: scalar === 'u64' ? 'bigint' : 'number', codec: `'${scalar}'` };
  }
  if (type.kind === 'enum' && type.size === 4) return { type: 'number', codec: "'u32'" };
  if (type.kind === 'struct') return { type: pascal(type.name), codec: camel(type.name) };
  if (type.kind === 'array' && type.element.kind !== 'array') {
    const element = describe(type.element, where);
    const bytes = element.codec === "'u8'";
    return {
      type: bytes ? 'Uint8Array' : `readonly ${element.type}[]`,
      codec: element.codec, length: type.length,
    };
  }
  throw new Error(`${where}: no codec for a ${type.kind}`);
}

function structLines(type: Struct): string[] {
  const members = type.members.filter(({ name }) => !/^pad\d*$/.test(name));
  const described = members.map((member: BtfMember) => {
    if (member.sizeBits % 8 !== 0 || member.offsetBits % 8 !== 0) {
      throw new Error(`${type.name}.${member.name}: no codec for bit fields`);
    }
    return { member, ...describe(member.type, `${type.name}.${member.name}`) };
  });
  const shape = described.map(({ member, type: of }) => `readonly ${member.name}: ${of}`);
  const fields = described.map(({ member, codec, length }) =>
    `${member.name}: { offset: ${member.offsetBits / 8}, type: ${codec}`
    + (length === undefined ? '' : `, length: ${length}`) + ' }');
  return ['',
    ...wrapped(`export interface ${pascal(type.name)} {`, shape, '}')
      .map((line) => line.replaceAll(', readonly', '; readonly').replace(/,$/, ';')),
    ...wrapped(`export const ${camel(type.name)} = struct<${pascal(type.name)}>`
      + `('${type.name}', ${type.size}, {`, fields, '});')];
}

/** Structures so that what is contained comes first. */
function ordered(structs: readonly Struct[]): Struct[] {
  const done = new Set<Struct>();
  const visit = (type: BtfType): void => {
    if (type.kind === 'array') visit(type.element);
    if (type.kind !== 'struct' || done.has(type as Struct)) return;
    type.members.forEach((member) => visit(member.type));
    done.add(type as Struct);
  };
  structs.forEach(visit);
  return [...done];
}

/** The whole file. Throws when the header names a type that the BTF lacks. */
export function generate(header: string, btf: Btf): string {
  const text = header.replace(/\/\*[\s\S]*?\*\//g, '');
  const named = (kind: string): BtfType[] =>
    [...text.matchAll(new RegExp(`^${kind} (\\w+) \\{`, 'gm'))].map(([, name]) => {
      const found = btf.type(name!);
      if (found === undefined) throw new Error(`bpf/abi_btf.bpf.c does not use ${kind} ${name}`);
      return found;
    });
  const enums = named('enum') as Enum[];
  const reasons = readReasons(header);
  const numbers = new Map(enums.flatMap((each) => [...each.values]));
  for (const [name, list] of reasons) {
    const moved = list.find(([key], i) =>
      numbers.get(`${name.replace(/_.*/, '')}_${key}`) !== BigInt(i));
    if (moved !== undefined) {
      throw new Error(`abi_btf.bpf.o is older than abi.h (${name} ${moved[0]}): build first`);
    }
  }
  const structs = ordered(named('struct') as Struct[]);
  const out = [
    '/** Made from bpf/abi.h by generate.ts (npm run generate). Do not edit. */',
    "import { struct, type Codec } from './codec.js';", '',
    ...[...readMacros(header)].map(([name, value]) => `export const ${name} = ${value};`),
    ...enums.flatMap(enumLines),
    '', '/** A reason by its number: the enumerator without its prefix, and what it means. */',
    'export interface Reason { readonly name: string; readonly text: string }',
    ...[...reasons].flatMap(([name, list]) => ['',
      `export const ${camel(name.toLowerCase())}: readonly Reason[] = Object.freeze([`,
      ...list.map(([key, meaning]) =>
        `  { name: '${key}', text: '${meaning.replaceAll("'", "\\'")}' },`),
      ']);']),
    ...structs.flatMap(structLines),
    '', '/** All of them, for layoutProblems(). */',
    ...wrapped('export const structs: readonly Codec<unknown>[] = [',
      structs.map(({ name }) => camel(name)), '];'),
  ];
  return out.join('\n') + '\n';
}

/** The text of bpf/abi.h with the headers of its folder that it includes in their places. */
export function readHeader(name = 'abi.h'): string {
  const text = readFileSync(join(packageRoot, 'bpf', name), 'utf8');
  return text.replace(/^#include "(\w+\.h)"$/gm, (_, part: string) => readHeader(part));
}

/** `check`: only compare. False: generated.ts was stale. */
export function update(check: boolean): boolean {
  const path = join(packageRoot, 'ts/abi/generated.ts');
  const object = BpfObject.open(join(packageRoot, 'build/bpf/abi_btf.bpf.o'));
  const header = readHeader();
  if (object.btf === undefined) throw new Error('abi_btf.bpf.o has no BTF');
  const wanted = generate(header, object.btf);
  let found = '';
  try {
    found = readFileSync(path, 'utf8');
  } catch {
    // The first time there is none.
  }
  if (found === wanted) return true;
  if (!check) writeFileSync(path, wanted);
  return false;
}

if (process.argv[1]?.endsWith('/abi/generate.js') === true) {
  const check = process.argv.includes('--check');
  const fresh = update(check);
  console.log(`ts/abi/generated.ts ${fresh ? 'is up to date' : check ? 'is stale' : 'written'}`);
  if (check && !fresh) process.exitCode = 1;
}
