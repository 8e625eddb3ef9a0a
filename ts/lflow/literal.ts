/**
 * Numbers and addresses as OVN's language writes them: text to value and back. Values
 * are unsigned bigints, most significant byte first as on the wire. The C functions that
 * OVN uses decide what is accepted: inet_pton(3), inet_ntop(3), ovs_scan, ds_put_hex.
 */
import type { Constant } from './ast.js';

export type Format = Extract<Constant, { kind: 'int' }>['format'];

/** Bits that a format can show; wider values print as hexadecimal. */
const formatBits: Readonly<Record<Format, bigint>> =
  { decimal: 64n, hexadecimal: 1024n, ipv4: 32n, ipv6: 128n, ethernet: 48n };

const onesTable = Array.from({ length: 129 }, (_, n) => (1n << BigInt(n)) - 1n);

/** The n lowest bits set; n up to 128. */
export function ones(n: number): bigint { return onesTable[n]!; }

const ipv4Syntax = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

/** Dotted quad without leading zeros, as a number, or undefined. */
function parseIpv4Number(text: string): number | undefined {
  const m = ipv4Syntax.exec(text);
  if (m === null) return undefined;
  let value = 0;
  for (let i = 1; i <= 4; i++) {
    const byte = Number(m[i]);
    if (byte > 255) return undefined;
    value = value * 256 + byte;
  }
  return value;
}

export function parseIpv4(text: string): bigint | undefined {
  const value = parseIpv4Number(text);
  return value === undefined ? undefined : BigInt(value);
}

/** 16-bit groups of a colon-separated part; an IPv4 address may be the last group. */
function ipv6Groups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(parseInt(part, 16));
      continue;
    }
    const ipv4 = mayEndInIpv4 && i === parts.length - 1 ? parseIpv4Number(part) : undefined;
    if (ipv4 === undefined) return undefined;
    groups.push(ipv4 >>> 16, ipv4 & 0xffff);
  }
  return groups;
}

export function parseIpv6(text: string): bigint | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = ipv6Groups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? ipv6Groups(halves[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const zeros = 8 - head.length - tail.length;
  // "::" stands for at least one group.
  if (halves.length === 2 ? zeros < 1 : zeros !== 0) return undefined;
  const groups = [...head, ...new Array<number>(zeros).fill(0), ...tail];
  return BigInt('0x' + groups.map((g) => g.toString(16).padStart(4, '0')).join(''));
}

const ethernetSyntax = /^(?:(?:0[xX])?[0-9a-fA-F]+:){5}(?:0[xX])?[0-9a-fA-F]+$/;

const usualEthernet = /^(?:..:){5}..$/;

/** Six hexadecimal groups in exactly 17 characters; a longer group keeps its low byte. */
export function parseEthernet(text: string): bigint | undefined {
  if (text.length !== 17 || !ethernetSyntax.test(text)) return undefined;
  if (usualEthernet.test(text)) return BigInt(parseInt(text.replaceAll(':', ''), 16));
  return BigInt('0x' + text.split(':').map((g) => g.slice(-2).replace(/^[xX]/, '')
    .padStart(2, '0')).join(''));
}

function formatIpv4(value: bigint): string {
  const n = Number(value);
  return `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}`;
}

/** The longest run of two or more zero groups, the first of equals: [start, length]. */
function longestZeroRun(groups: readonly number[]): readonly [number, number] {
  let best: readonly [number, number] = [-1, 1];
  for (let i = 0; i < groups.length; i++) {
    let length = 0;
    while (groups[i + length] === 0) length++;
    if (length > best[1]) best = [i, length];
    i += length;
  }
  return best;
}

function formatIpv6(value: bigint): string {
  const hex = value.toString(16).padStart(32, '0');
  const groups = Array.from({ length: 8 }, (_, i) => parseInt(hex.slice(4 * i, 4 * i + 4), 16));
  const [start, length] = longestZeroRun(groups);
  const v4 = start === 0 && (length === 6 || (length === 5 && groups[5] === 0xffff));
  const words = v4 ? groups.slice(0, 6).map((g) => g.toString(16))
    : groups.map((g) => g.toString(16));
  if (v4) words.push(formatIpv4(value & 0xffffffffn));
  if (start < 0) return words.join(':');
  return `${words.slice(0, start).join(':')}::${words.slice(start + length).join(':')}`;
}

function formatEthernet(value: bigint): string {
  return value.toString(16).padStart(12, '0').replace(/..(?=.)/g, '$&:');
}

/** "0" for zero, else 0x and lower-case digits without leading zeros. */
export function formatHex(value: bigint): string {
  return value === 0n ? '0' : '0x' + value.toString(16);
}

const formatters: Readonly<Record<Format, (value: bigint) => string>> = {
  decimal: String, hexadecimal: formatHex, ipv4: formatIpv4, ipv6: formatIpv6,
  ethernet: formatEthernet,
};

/** Length of the prefix if `mask` is a prefix mask of `bits` bits, else undefined. */
function prefixLength(mask: bigint, bits: number): number | undefined {
  const host = ~mask & ones(bits);
  if ((host & (host + 1n)) !== 0n) return undefined;
  return bits - (host === 0n ? 0 : host.toString(2).length);
}

/** A number as the lexer prints it, with its mask if it has one. */
export function formatNumber(format: Format, value: bigint, mask?: bigint): string {
  const fits = ((value | (mask ?? 0n)) >> formatBits[format]) === 0n;
  const shown = formatters[fits ? format : 'hexadecimal'];
  if (mask === undefined) return shown(value);
  // OVN looks at the effective format for IPv4 and at the written one for IPv6.
  const bits = fits && format === 'ipv4' ? 32 : format === 'ipv6' ? 128 : undefined;
  const prefix = bits === undefined ? undefined : prefixLength(mask & ones(bits), bits);
  return `${shown(value)}/${prefix ?? shown(mask)}`;
}

/** A string in quotes as OVS writes JSON: what is not ASCII stays as it is. */
export function quote(text: string): string {
  return `"${text.replace(/[\0-\x1f"\\]/g, (c) => JSON.stringify(c).slice(1, -1))}"`;
}
