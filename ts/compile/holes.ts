/**
 * Texts of flows with holes where literals were (shapes.ts). A literal takes one slot or more: a
 * number each. An IPv6 address takes four of 32 bits.
 */
import type { Constant } from '../lflow/ast.js';
import { parseIpv6 } from '../lflow/literal.js';

/** A text in which literals are holes. */
export interface Cut { readonly text: string; readonly literals: readonly string[] }

export const NAME = '\x01', MAC = '\x02', ADDRESS = '\x03', ADDRESS6 = '\x04', GROUP = '\x05',
  SET = '\x06';
export const hole = /[\x01-\x06]/g;
/** Bits of each slot. A name is its key. */
const sizes: Readonly<Record<string, readonly number[]>> = { [NAME]: [16], [MAC]: [48],
  [ADDRESS]: [32], [ADDRESS6]: [32, 32, 32, 32], [GROUP]: [16], [SET]: [16] };
/** What a member of a set looks like, by how it was written. */
export const formats: Readonly<Partial<Record<Extract<Constant, { kind: 'int' }>['format'],
  string>>> = { ipv4: ADDRESS, ethernet: MAC, ipv6: ADDRESS6 };

// ---- Cutting --------------------------------------------------------------------------------

const name = '"[\\w.:-]+"', mac = '(?:[0-9a-f]{2}:){5}[0-9a-f]{2}',
  ip4 = '(?:\\d{1,3}\\.){3}\\d{1,3}', ip6 = '[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,8}';
/** The length of a prefix belongs to the shape. In no slot it leaves so few bits that they could
 * be taken for others by chance. */
const length4 = '/(?:1[6-9]|2\\d|3[0-2])',
  length6 = '/(?:4[89]|5\\d|6[0-4]|8\\d|9[0-6]|11[2-9]|12[0-8])';
const end = '(?= &&|[),}]|$)';
const member = `${mac}${end}|${ip4}(?=(?:${length4})?${end})|${ip6}(?=(?:${length6})?${end})`;
/** Larger sets are compiled from their text. */
const SET_TEXT = 400;
/** What a clause of a match compares with, as a whole. */
const inMatches = new RegExp(`(?: == )(?:(?:${name}|[@$][A-Za-z_][\\w.]*)${end}|${member}|`
  + `\\{[\\da-f.:/, ]{1,${SET_TEXT}}\\}${end})|is_chassis_resident\\(${name}(?=\\))`, 'g');
const inBraces = new RegExp(`(?<=[{ ])(?:${member})`, 'g');
const alone = '(?![\\w./:])';
const inActions = new RegExp(`${name}|(?<![\\w.:])(?:${mac}|${ip4}|${ip6})${alone}`, 'g');

const isMac = new RegExp(`^${mac}$`);
const byFirst = new Map([['"', NAME], ['@', GROUP], ['$', SET]]);
const kindOf = (literal: string): string => byFirst.get(literal[0]!)
  ?? (!literal.includes(':') ? ADDRESS : isMac.test(literal) ? MAC : ADDRESS6);

/** What is no hole, and strings that may end elsewhere. */
const isOdd = /[\0-\x1f\\]/;

export function cutMatch(text: string): Cut | undefined {
  if (isOdd.test(text)) return undefined;
  const literals: string[] = [];
  const holeFor = (literal: string): string => {
    literals.push(literal);
    return kindOf(literal);
  };
  const rest = text.replace(inMatches, (found) => {
    if (found.charCodeAt(0) !== 0x20) return found.replace(/".*/, holeFor);
    return ' == ' + (found.endsWith('}') ? found.slice(4).replace(inBraces, holeFor)
      : holeFor(found.slice(4)));
  });
  return { text: rest, literals };
}

export function cutActions(text: string): Cut | undefined {
  if (isOdd.test(text)) return undefined;
  const literals: string[] = [];
  const rest = text.replace(inActions, (literal) => {
    literals.push(literal);
    return kindOf(literal);
  });
  return { text: rest, literals };
}

/** Appends what a literal has in its slots, zero for what is looked up; false when it is no
 * literal after all. */
function append(literal: string, values: number[]): boolean {
  if (byFirst.has(literal[0]!)) return values.push(0) > 0;
  if (literal.includes(':')) {
    if (isMac.test(literal)) return values.push(parseInt(literal.replaceAll(':', ''), 16)) > 0;
    const value = parseIpv6(literal);
    if (value === undefined) return false;
    for (let shift = 96n; shift >= 0n; shift -= 32n) {
      values.push(Number((value >> shift) & 0xffffffffn));
    }
    return true;
  }
  let value = 0;
  for (const part of literal.split('.')) {
    if (part.length > 3 || Number(part) > 255 || (part.length > 1 && part.startsWith('0'))) {
      return false;
    }
    value = value * 256 + Number(part);
  }
  return values.push(value) > 0;
}
/** What literals have in their slots. */
export function valuesOf(literals: readonly string[]): number[] | undefined {
  const values: number[] = [];
  return literals.every((literal) => append(literal, values)) ? values : undefined;
}

// ---- Slots and samples ----------------------------------------------------------------------

/** `literal`: which one it is of. `mask`: bits that it may have, when not all. */
export interface Slot { readonly literal: number; readonly bits: number;
  readonly mask: number | undefined }

/** The slots of these texts together. */
export function slotsOf(texts: readonly string[]): readonly Slot[] {
  const found = texts.flatMap((text) => [...text.matchAll(/([\x01-\x06])(?:\/(\d+))?/g)]);
  return found.flatMap(([, kind, length], literal) => sizes[kind!]!.map((bits, word) => ({
    literal, bits, mask: length === undefined ? undefined : maskOf(Number(length) - 32 * word) })));
}
const maskOf = (length: number): number | undefined =>
  length >= 32 ? undefined : length <= 0 ? 0 : (0xffffffff << (32 - length)) >>> 0;
export const slotCount = (text: string): number =>
  (text.match(hole) ?? []).reduce((sum, kind) => sum + sizes[kind]!.length, 0);

/** Values of the slots. */
export type Sample = readonly number[];

function random(bits: number): number {
  return Math.floor(Math.random() * 2 ** Math.min(bits, 26))
    + (bits > 26 ? Math.floor(Math.random() * 2 ** (bits - 26)) * 2 ** 26 : 0);
}
/** Random bits, the same bits inverted, and others. */
export function samplesOf(slots: readonly Slot[]): readonly Sample[] {
  const masked = (value: number, { mask }: Slot): number =>
    mask === undefined ? value : (value & mask) >>> 0;
  const first = slots.map((slot) => masked(random(slot.bits), slot));
  const inverted = slots.map((slot, i) => masked(2 ** slot.bits - 1 - first[i]!, slot));
  return [first, inverted, slots.map((slot) => masked(random(slot.bits), slot))];
}

const sampleName = 'hole-';
/** Keys of a sample's names. */
export const portIn = (sample: Sample) => (asked: string): number | undefined =>
  asked.startsWith(sampleName) ? sample[slotIn(asked)] : undefined;
/** Which slot has the name of a sample. */
export const slotIn = (asked: string): number => Number(asked.slice(sampleName.length));

function literalOf(kind: string, sample: Sample, at: number): string {
  // What holds for one name holds for each member of a group.
  if (kind === NAME || kind === GROUP) return `"${sampleName}${at}"`;
  const hex = (size: number): string => sizes[kind]!.map((bits, i) =>
    sample[at + i]!.toString(16).padStart(bits / 4, '0')).join('').match(
    new RegExp(`.{${size}}`, 'g'))!.join(':');
  if (kind !== ADDRESS) return hex(kind === MAC ? 2 : 4);
  return hex(2).split(':').map((byte) => parseInt(byte, 16)).join('.');
}
/** `first`: the first slot of this text. */
export function filled(text: string, sample: Sample, first: number): string {
  let at = first;
  return text.replace(hole, (kind) => {
    const literal = literalOf(kind, sample, at);
    at += sizes[kind]!.length;
    return literal;
  });
}
/** Some literal of a kind. */
export const anyOf = (kind: string): string =>
  filled(kind, samplesOf(slotsOf([kind]))[0]!, 0);
